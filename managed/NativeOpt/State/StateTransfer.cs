using System.Runtime.InteropServices;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What saving and loading of all formats have in common.</summary>
internal static unsafe class StateTransfer
{
    // Of one copy to or from the host: enough for a disk or a GPU to be busy, little enough to keep.
    private const int PieceBytes = 4 << 20;

    /// <summary>The states that other frameworks have, too: those of the rule, without the master weights.</summary>
    public static RuleState[] RulesStates(Optimizer optimizer)
    {
        IReadOnlyList<StateRole> roles = optimizer.StateRoles;
        return [.. optimizer.Rule.States.Where(state => roles.Contains(state.Role))];
    }

    /// <summary>A tensor for messages: its index, and its name if it has one.</summary>
    public static string Describe(ParameterSet set, int tensor) => $"tensor {tensor} (\"{set.Names[tensor]}\")";

    /// <summary>Runs a load from a file; what it says of the data gets the file's name.</summary>
    public static void LoadFile(string path, Action<Stream> load)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        try
        {
            load(file);
        }
        catch (InvalidDataException exception)
        {
            throw new InvalidDataException($"{path}: {exception.Message}", exception);
        }
    }

    /// <summary>Writes a tensor's bytes as they are.</summary>
    public static void Write(Stream stream, TensorRef tensor, DeviceStream order, CancellationToken cancellation)
    {
        byte[] piece = new byte[Math.Min(PieceBytes, tensor.ByteCount)];
        for (long done = 0; done < tensor.ByteCount; done += piece.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            Span<byte> part = piece.AsSpan(0, (int)Math.Min(piece.Length, tensor.ByteCount - done));
            fixed (byte* host = part)
            {
                DeviceMemory.CopyAndWait(tensor.Device, host, (byte*)tensor.Pointer + done, part.Length, order);
            }

            stream.Write(part);
        }
    }

    /// <summary>Writes a state's elements as float32, which holds those of any type exactly.</summary>
    public static void WriteSingles(
        Stream stream, TensorRef tensor, bool isSigned, DeviceStream order, CancellationToken cancellation)
    {
        float[] piece = new float[Math.Min(TensorRef.MaxPieceLength, tensor.ElementCount)];
        for (long done = 0; done < tensor.ElementCount; done += piece.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            Span<float> part = piece.AsSpan(0, (int)Math.Min(piece.Length, tensor.ElementCount - done));
            tensor.Slice(done, part.Length).CopyTo(part, isSigned, order);
            stream.Write(MemoryMarshal.AsBytes(part));
        }
    }

    /// <summary>Throws if the optimizer took a step while it was read, which would have mixed two states in the copy.</summary>
    /// <remarks>A step that runs now throws here by itself.</remarks>
    public static void RequireNoStepSince(Optimizer optimizer, long step)
    {
        if (optimizer.StepCount != step)
        {
            throw new ConcurrentUseException("The optimizer took a step on another thread while its state was read.");
        }
    }

    /// <summary>The bytes of the data, which the entries must fill without gaps and overlaps, in any order.</summary>
    public static long RequireTiling(IReadOnlyList<SafetensorsEntry> entries)
    {
        long end = 0;
        foreach (SafetensorsEntry entry in entries.OrderBy(static entry => entry.Begin).ThenBy(static entry => entry.End))
        {
            if (entry.Begin != end)
            {
                throw new InvalidDataException(
                    $"{Printable.Quoted(entry.Name)} begins at byte {entry.Begin} of the data; the one before it ends at {end}.");
            }

            end = entry.End;
        }

        return end;
    }

    /// <summary>Reads all that is left of a stream, which must be so many bytes.</summary>
    public static DeviceBuffer<byte> ReadData(Stream stream, long total, CancellationToken cancellation)
    {
        if (stream.CanSeek && stream.Length - stream.Position != total)
        {
            throw new InvalidDataException(
                $"The file has {stream.Length - stream.Position} bytes of data; its header says {total}.");
        }

        DeviceBuffer<byte> data = new(Device.Cpu, total);
        try
        {
            if (!TryRead(stream, data, cancellation))
            {
                throw new InvalidDataException($"The data ends early; the header says {total} bytes.");
            }

            return stream.ReadByte() == -1
                ? data
                : throw new InvalidDataException($"There is more data than the {total} bytes that the header says.");
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    /// <summary>Fills a buffer of the host's; false if the stream ends before.</summary>
    public static bool TryRead(Stream stream, DeviceBuffer<byte> data, CancellationToken cancellation)
    {
        for (long done = 0; done < data.Length; done += PieceBytes)
        {
            cancellation.ThrowIfCancellationRequested();
            Span<byte> part = data.AsSpan(done, (int)Math.Min(PieceBytes, data.Length - done));
            if (stream.ReadAtLeast(part, part.Length, throwOnEndOfStream: false) < part.Length)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether a shape is one, and has so many elements.</summary>
    public static bool HasElements(ReadOnlySpan<long> shape, long count)
    {
        Int128 product = 1;
        foreach (long dimension in shape)
        {
            if (dimension < 0)
            {
                return false;
            }

            // One more than any count stands for all larger products, so that a later 0 still counts.
            product = Int128.Min(product * dimension, (Int128)long.MaxValue + 1);
        }

        return product == count;
    }

    /// <summary>
    /// Sets what the counts of SGD must be where another program kept none: with dampening, a tensor with a momentum buffer has
    /// taken its first step, and one without has not. Without dampening the counts stay as they are.
    /// </summary>
    /// <param name="optimizer">The optimizer.</param>
    /// <param name="hasBuffer">Of each tensor, whether there was a buffer.</param>
    /// <param name="cancellation">Ends it early, with nothing changed.</param>
    /// <returns>What sets them; nothing has changed before it is called.</returns>
    public static Action CountedByBuffers(Optimizer optimizer, bool[] hasBuffer, CancellationToken cancellation)
    {
        nopt_hyperparams[] hyperparameters = [.. optimizer.Groups.Select(static group => group.Hyperparameters)];
        return optimizer.Groups.Any(static group => group["dampening"] > 0)
            ? Counted(
                optimizer,
                [.. optimizer.TensorStates().Zip(hasBuffer, static (state, has) => has ? Math.Max(1, state.step) : 0)],
                hyperparameters,
                cancellation)
            : static () => { };
    }

    /// <summary>Sets step counts that another program had, and the running scalars that follow from them.</summary>
    /// <param name="optimizer">The optimizer.</param>
    /// <param name="steps">The steps of each tensor.</param>
    /// <param name="hyperparameters">What the steps of each group took.</param>
    /// <param name="cancellation">Ends it early, with nothing changed.</param>
    /// <returns>What sets them; nothing has changed before it is called.</returns>
    public static Action Counted(
        Optimizer optimizer, long[] steps, nopt_hyperparams[] hyperparameters, CancellationToken cancellation)
    {
        ParameterSet set = optimizer.ParameterSet;
        Dictionary<(int Group, long Step), nopt_step_state> known = [];
        nopt_step_state[] groups = optimizer.GroupStates();
        nopt_step_state[] tensors = new nopt_step_state[steps.Length];
        bool[] isCounted = new bool[groups.Length];
        for (int tensor = 0; tensor < steps.Length; tensor++)
        {
            int group = set.GetGroup(tensor);
            if (!known.TryGetValue((group, steps[tensor]), out tensors[tensor]))
            {
                tensors[tensor] = optimizer.Rule.StateAfter(hyperparameters[group], steps[tensor], cancellation);
                known.Add((group, steps[tensor]), tensors[tensor]);
            }

            // A group is where its farthest tensor is.
            if (!isCounted[group] || tensors[tensor].step > groups[group].step)
            {
                groups[group] = tensors[tensor];
                isCounted[group] = true;
            }
        }

        return () => optimizer.SetStates(groups, tensors);
    }
}
