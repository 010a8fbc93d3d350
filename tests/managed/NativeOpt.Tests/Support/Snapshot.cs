using System.Globalization;
using NativeOpt.Interop;
using Xunit;

namespace NativeOpt.Tests.Support;

/// <summary>All that a step reads or writes, bit for bit.</summary>
internal static unsafe class Snapshot
{
    public static string Of(Optimizer optimizer)
    {
        ParameterSet set = optimizer.ParameterSet;
        List<string> parts =
        [
            .. optimizer.Groups.Select(static group => string.Join(
                ' ', group.StepCount.ToString(CultureInfo.InvariantCulture), Hex(group.Beta1Product), Hex(group.Beta2Product),
                Hex(group.LearningRate), Hex(group.WeightDecay))),
        ];
        nopt_step_state[] states = optimizer.TensorStates();
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            parts.Add(Bits(set.GetParameter(tensor)));
            parts.Add(OfState(states[tensor]));
            parts.Add(Hex(set.GetLearningRateScale(tensor)) + Hex(set.GetWeightDecay(tensor) ?? -1));
            foreach (StateRole role in optimizer.StateRoles)
            {
                parts.Add($"{role} {Bits(optimizer.GetState(role, tensor))}");
            }
        }

        return string.Join('\n', parts);
    }

    /// <summary>A tensor's step count and running scalars.</summary>
    public static string OfState(nopt_step_state state) => string.Join(
        ' ', [state.step.ToString(CultureInfo.InvariantCulture), .. ((ReadOnlySpan<double>)state.running).ToArray().Select(Hex)]);

    public static string Bits(TensorRef tensor) =>
        Convert.ToHexString(new ReadOnlySpan<byte>((void*)tensor.Pointer, (int)tensor.DType.ByteCount(tensor.ElementCount)));

    public static float[] Values(TensorRef tensor)
    {
        float[] values = new float[tensor.ElementCount];
        tensor.CopyTo(values);
        return values;
    }

    /// <summary>Of a state, whatever its type.</summary>
    public static float[] Values(Optimizer optimizer, StateRole role, int tensor)
    {
        float[] values = new float[optimizer.GetState(role, tensor).ElementCount];
        optimizer.CopyStateTo(role, tensor, values);
        return values;
    }

    /// <summary>Asserts that an action throws exactly this exception, and leaves the optimizer and its tensors as they were.</summary>
    public static TException Unchanged<TException>(Optimizer optimizer, Action action)
        where TException : Exception
    {
        string before = Of(optimizer);
        TException exception = Assert.Throws<TException>(action);
        Assert.Equal(before, Of(optimizer));
        return exception;
    }

    private static string Hex(double value) => BitConverter.DoubleToInt64Bits(value).ToString("X16", CultureInfo.InvariantCulture);
}
