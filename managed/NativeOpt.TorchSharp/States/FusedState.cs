using System.Globalization;
using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp;

/// <summary>
/// What an optimizer keeps for one parameter, where TorchSharp has no class for it: a step count, the rule's running scalars
/// (<see cref="Rule.RunningScalars"/>) and a tensor for each state of the rule (<see cref="Rule.States"/>), in the rule's order,
/// with the float32 master weights behind them.
/// </summary>
public sealed class FusedState : ParameterState, IDisposable
{
    private long _stepCount;

    internal FusedState(Parameter parameter, int tensorCount, int runningScalarCount)
        : base(parameter)
    {
        Tensors = new torch.Tensor?[tensorCount];
        RunningScalars = new double[runningScalarCount];
        Array.Fill(RunningScalars, double.NaN);
    }

    /// <summary>
    /// The steps that the parameter has taken: those in which it had a gradient. Setting it sets the running scalars to those of
    /// so many steps with the present options.
    /// </summary>
    public long StepCount
    {
        get => _stepCount;
        set
        {
            _stepCount = value;
            Array.Fill(RunningScalars, double.NaN);
        }
    }

    /// <summary>The states, each of the parameter's shape; null where the rule with its options keeps none.</summary>
    internal torch.Tensor?[] Tensors { get; }

    /// <summary>The rule's running scalars, as of when the optimizer last told them; NaN where they are as the step count says.</summary>
    internal double[] RunningScalars { get; }

    /// <summary>Tells one of the states.</summary>
    /// <param name="index">The index among the rule's states; the index after the last one is that of the master weights.</param>
    /// <returns>The tensor, which stays the optimizer's; null where the optimizer keeps none.</returns>
    /// <exception cref="IndexOutOfRangeException">There is no such state.</exception>
    public torch.Tensor? GetTensor(int index) => Tensors[index];

    /// <summary>Disposes of the tensors.</summary>
    public void Dispose()
    {
        foreach (torch.Tensor? tensor in Tensors)
        {
            tensor?.Dispose();
        }
    }

    /// <summary>Writes the step count, the running scalars and the tensors.</summary>
    /// <param name="writer">Where to.</param>
    public override void SaveStateDict(BinaryWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.Write(StepCount);
        writer.Write(Tensors.Length);
        writer.Write(RunningScalars.Length);
        foreach (double scalar in RunningScalars)
        {
            writer.Write(scalar);
        }

        foreach (torch.Tensor? tensor in Tensors)
        {
            SaveConditionalStateTensor(writer, tensor);
        }
    }

    /// <summary>Reads what <see cref="SaveStateDict"/> wrote.</summary>
    /// <param name="reader">Where from.</param>
    /// <exception cref="InvalidDataException">
    /// It was written by an optimizer of another rule, with other master weights, or for a parameter of another shape. Nothing in
    /// this state was changed.
    /// </exception>
    public override void LoadStateDict(BinaryReader reader)
    {
        ArgumentNullException.ThrowIfNull(reader);
        long count = reader.ReadInt64();
        int tensors = reader.ReadInt32(), scalars = reader.ReadInt32();
        if (count < 0 || tensors != Tensors.Length || scalars != RunningScalars.Length)
        {
            throw new InvalidDataException(string.Create(
                CultureInfo.InvariantCulture,
                $"The state has {tensors} tensors and {scalars} running scalars after {count} steps, but this optimizer keeps "
                + $"{Tensors.Length} and {RunningScalars.Length}; it was saved by another rule or with another choice of master "
                + $"weights."));
        }

        double[] running = [.. RunningScalars.Select(_ => reader.ReadDouble())];
        torch.Tensor?[] read = new torch.Tensor?[tensors];
        using (torch.NewDisposeScope())
        {
            for (int i = 0; i < tensors; i++)
            {
                LoadConditionalStateTensor(reader, ref read[i], _parameter.device);
                if (read[i] is { } tensor && !tensor.shape.AsSpan().SequenceEqual(_parameter.shape))
                {
                    throw new InvalidDataException(
                        $"A state has the shape [{string.Join(", ", tensor.shape)}], but its parameter has "
                        + $"[{string.Join(", ", _parameter.shape)}].");
                }
            }

            foreach (torch.Tensor? tensor in read)
            {
                tensor?.DetachFromDisposeScope();
            }
        }

        Dispose();
        _stepCount = count;
        running.CopyTo(RunningScalars, 0);
        read.CopyTo(Tensors, 0);
    }

    /// <summary>Copies the state of another optimizer.</summary>
    /// <param name="source">A state of the same kind.</param>
    /// <exception cref="ArgumentException">It is of another kind.</exception>
    public override void LoadStateDict(ParameterState source)
    {
        if (source is not FusedState other || other.Tensors.Length != Tensors.Length
            || other.RunningScalars.Length != RunningScalars.Length)
        {
            throw new ArgumentException("The state is that of another rule or of another class of optimizer.", nameof(source));
        }

        if (ReferenceEquals(other, this))
        {
            return;
        }

        _stepCount = other.StepCount;
        other.RunningScalars.CopyTo(RunningScalars, 0);
        for (int i = 0; i < Tensors.Length; i++)
        {
            Tensors[i]?.Dispose();
            Tensors[i] = other.Tensors[i]?.to(_parameter.device, copy: true).DetachFromDisposeScope();
        }
    }

    /// <summary>Says whether the step counts are equal and the tensors nearly so.</summary>
    /// <param name="other">The other state.</param>
    /// <returns>True if they are.</returns>
    public override bool ApproximatelyEquals(ParameterState other) =>
        other is FusedState own && own.StepCount == StepCount && own.Tensors.Length == Tensors.Length
        && Tensors.Zip(own.Tensors).All(
            static pair => pair.First is null ? pair.Second is null : pair.Second is not null && pair.First.allclose(pair.Second));

    /// <summary>Forgets everything: the next step begins anew.</summary>
    /// <param name="options">The options of the parameter's group; not read.</param>
    public override void Initialize(TorchOptions options)
    {
        StepCount = 0;
        Dispose();
        Array.Clear(Tensors);
    }

    /// <summary>Moves the tensors to a device.</summary>
    /// <param name="device">The device.</param>
    public override void to(torch.Device device)
    {
        for (int i = 0; i < Tensors.Length; i++)
        {
            torch.Tensor? moved = Tensors[i]?.to(device, copy: true).DetachFromDisposeScope();
            Tensors[i]?.Dispose();
            Tensors[i] = moved;
        }
    }

    /// <summary>Sets the step count alone, as the steps of the optimizer do.</summary>
    internal void Count(long steps) => _stepCount = steps;
}
