using System.Globalization;
using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp;

/// <summary>
/// What an optimizer keeps for one parameter, where TorchSharp has no class for it: a step count and a tensor for each state of
/// the rule (<see cref="Rule.States"/>), in the rule's order, with the float32 master weights behind them.
/// </summary>
public sealed class FusedState : ParameterState, IDisposable
{
    internal FusedState(Parameter parameter, int tensorCount)
        : base(parameter)
    {
        Tensors = new torch.Tensor?[tensorCount];
    }

    /// <summary>The steps that the parameter has taken: those in which it had a gradient.</summary>
    public long StepCount { get; set; }

    /// <summary>The states, each of the parameter's shape; null where the rule with its options keeps none.</summary>
    internal torch.Tensor?[] Tensors { get; }

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

    /// <summary>Writes the step count and the tensors.</summary>
    /// <param name="writer">Where to.</param>
    public override void SaveStateDict(BinaryWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.Write(StepCount);
        writer.Write(Tensors.Length);
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
        int tensors = reader.ReadInt32();
        if (count < 0 || tensors != Tensors.Length)
        {
            throw new InvalidDataException(string.Create(
                CultureInfo.InvariantCulture,
                $"The state has {tensors} tensors after {count} steps, but this optimizer keeps {Tensors.Length}; it was saved by "
                + $"another rule or with another choice of master weights."));
        }

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
        StepCount = count;
        read.CopyTo(Tensors, 0);
    }

    /// <summary>Copies the state of another optimizer.</summary>
    /// <param name="source">A state of the same kind.</param>
    /// <exception cref="ArgumentException">It is of another kind.</exception>
    public override void LoadStateDict(ParameterState source)
    {
        if (source is not FusedState other || other.Tensors.Length != Tensors.Length)
        {
            throw new ArgumentException("The state is that of another rule or of another class of optimizer.", nameof(source));
        }

        if (ReferenceEquals(other, this))
        {
            return;
        }

        StepCount = other.StepCount;
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
}
