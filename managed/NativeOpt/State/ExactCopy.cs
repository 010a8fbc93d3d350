using System.Runtime.InteropServices;

namespace NativeOpt;

/// <summary>
/// Elements of a file that go into a state as the numbers that they are: nothing is rounded. States of fewer bits take what
/// they would have held themselves, as the float32 copies of such states do that other frameworks get.
/// </summary>
/// <param name="What">The tensor in the file, for messages.</param>
/// <param name="Source">The address of the elements, in host memory.</param>
/// <param name="Type">Their type: float32, bfloat16 or float16, or the state's.</param>
/// <param name="Destination">The state.</param>
/// <param name="IsSigned">Whether the state has negative values.</param>
internal sealed unsafe record ExactCopy(string What, nint Source, DType Type, TensorRef Destination, bool IsSigned)
{
    // Both are true of all elements: the bits are the same, or every number of the one type is one of the other.
    private bool IsBitwise => Type == Destination.DType;

    private bool IsWidening => Destination.DType == DType.Float32;

    /// <summary>Throws unless the state can hold all elements.</summary>
    public void Require()
    {
        if (IsBitwise || IsWidening)
        {
            return;
        }

        byte[] stored = NewPiece();
        float[] singles = new float[PieceLength];
        float[] kept = new float[PieceLength];
        for (long done = 0; done < Destination.ElementCount; done += PieceLength)
        {
            Span<float> piece = singles.AsSpan(0, LengthOfPieceAt(done));
            Read(done, piece);
            Convert(piece, stored);
            Widen(stored, kept.AsSpan(0, piece.Length));
            for (int i = 0; i < piece.Length; i++)
            {
                // NaN is NaN, whatever its payload.
                if (!piece[i].Equals(kept[i]))
                {
                    throw new InvalidDataException(
                        $"{What} is {Type} in the file; the optimizer's state is {Destination.DType}, to which it would have to be "
                        + $"rounded (element {done + i}). Make the optimizer with states of {DType.Float32} (StateType, StateTypes, "
                        + "TensorOptions.StateType)"
                        + (Destination.DType == DType.Dynamic8 ? "." : ", or convert the file."));
                }
            }
        }
    }

    /// <summary>Copies the elements, in stream order, and waits for it.</summary>
    public void Run(DeviceStream order)
    {
        if (IsBitwise)
        {
            DeviceMemory.CopyAndWait(
                Destination.Device, (void*)Destination.Pointer, (void*)Source, Destination.ByteCount, order);
            return;
        }

        byte[] stored = NewPiece();
        float[] singles = new float[PieceLength];
        for (long done = 0; done < Destination.ElementCount; done += PieceLength)
        {
            Span<float> piece = singles.AsSpan(0, LengthOfPieceAt(done));
            Read(done, piece);
            Convert(piece, stored);
            TensorRef part = Destination.Slice(done, piece.Length);
            fixed (byte* host = stored)
            {
                DeviceMemory.CopyAndWait(part.Device, (void*)part.Pointer, host, part.ByteCount, order);
            }
        }
    }

    private int PieceLength => (int)Math.Min(TensorRef.MaxPieceLength, Destination.ElementCount);

    private int LengthOfPieceAt(long done) => (int)Math.Min(PieceLength, Destination.ElementCount - done);

    private byte[] NewPiece() => new byte[Destination.DType.ByteCount(PieceLength)];

    /// <summary>Reads elements of the file, of which so many come before.</summary>
    private void Read(long begin, Span<float> destination)
    {
        if (Type == DType.Float32)
        {
            new ReadOnlySpan<float>((float*)Source + begin, destination.Length).CopyTo(destination);
        }
        else
        {
            HalfPrecision.ToSingle(Type, new ReadOnlySpan<ushort>((ushort*)Source + begin, destination.Length), destination);
        }
    }

    private void Convert(ReadOnlySpan<float> source, Span<byte> destination)
    {
        switch (Destination.DType)
        {
            case DType.Float32:
                MemoryMarshal.AsBytes(source).CopyTo(destination);
                break;
            case DType.Dynamic8:
                Dynamic8.FromSingle(IsSigned, source, destination);
                break;
            default:
                HalfPrecision.FromSingle(Destination.DType, source, MemoryMarshal.Cast<byte, ushort>(destination));
                break;
        }
    }

    private void Widen(ReadOnlySpan<byte> source, Span<float> destination)
    {
        if (Destination.DType == DType.Dynamic8)
        {
            Dynamic8.ToSingle(IsSigned, source, destination);
        }
        else
        {
            HalfPrecision.ToSingle(
                Destination.DType, MemoryMarshal.Cast<byte, ushort>(source)[..destination.Length], destination);
        }
    }
}
