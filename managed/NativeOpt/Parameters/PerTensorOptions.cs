using System.Globalization;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>The <see cref="TensorOptions"/> of all tensors of a set, checked, with the defaults filled in.</summary>
internal sealed class PerTensorOptions
{
    /// <param name="options">The options of each tensor; empty: defaults for all.</param>
    /// <param name="types">The element types of the parameters.</param>
    /// <param name="paramName">The argument that the options come from.</param>
    public PerTensorOptions(ReadOnlySpan<TensorOptions> options, DType[] types, string paramName)
    {
        int count = types.Length;
        if (options.Length != 0 && options.Length != count)
        {
            throw new ArgumentException(
                $"{paramName} has {options.Length} entries, but there are {count} parameters.", paramName);
        }

        string[] names = new string[count];
        LearningRateScales = new double[count];
        WeightDecays = new double[count];
        Groups = new int[count];
        GradientTypes = [.. types];
        StateTypes = new DType?[count];
        HashSet<string> taken = [];
        TensorOptions defaults = new();
        for (int i = 0; i < count; i++)
        {
            TensorOptions own = options.IsEmpty
                ? defaults
                : options[i] ?? throw new ArgumentException($"{paramName}[{i}] is null.", paramName);
            Check.AtLeastZero(own.LearningRateScale, $"{paramName}[{i}].LearningRateScale", paramName);
            Check.AtLeastZero(own.WeightDecay ?? 0, $"{paramName}[{i}].WeightDecay", paramName);
            names[i] = own.Name ?? i.ToString(CultureInfo.InvariantCulture);
            LearningRateScales[i] = own.LearningRateScale;
            WeightDecays[i] = own.WeightDecay ?? NativeMethods.NOPT_INHERIT;
            Groups[i] = own.Group;
            GradientTypes[i] = own.GradientType ?? types[i];
            StateTypes[i] = own.StateType;
            if (own.Group < 0)
            {
                throw new ArgumentOutOfRangeException(
                    paramName, own.Group, $"{paramName}[{i}].Group is {own.Group}; it must be 0 or more.");
            }

            if (names[i].Length == 0)
            {
                throw new ArgumentException($"{paramName}[{i}].Name is empty.", paramName);
            }

            if (!taken.Add(names[i]))
            {
                throw new ArgumentException(
                    $"Two tensors have the name \"{names[i]}\", the second at {i} (without a name it is the index).",
                    paramName);
            }

            if (!GradientTypes[i].IsNumber())
            {
                throw BufferLayout.NotANumber(GradientTypes[i], $"{paramName}[{i}].GradientType");
            }

            if (own.StateType is { } stateType)
            {
                Check.StateType(stateType, $"{paramName}[{i}].StateType", paramName);
            }
        }

        Names = Array.AsReadOnly(names);
    }

    public IReadOnlyList<string> Names { get; }

    public double[] LearningRateScales { get; }

    /// <summary>The weight decays; NOPT_INHERIT for tensors that take their group's.</summary>
    public double[] WeightDecays { get; }

    public int[] Groups { get; }

    public DType[] GradientTypes { get; }

    /// <summary>The types of the states; null for tensors that take the optimizer's.</summary>
    public DType?[] StateTypes { get; }
}
