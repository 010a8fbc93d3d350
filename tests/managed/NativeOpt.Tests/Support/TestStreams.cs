namespace NativeOpt.Tests.Support;

/// <summary>A stream that can do nothing but give its bytes, a few at a time.</summary>
internal class ForwardOnlyStream(Stream inner) : Stream
{
    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) =>
        inner.Read(buffer, offset, count > 1000 ? (count / 3) + 1 : Math.Min(count, 7));

    public override void Flush() => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}

/// <summary>Fails once so many bytes were read or written.</summary>
internal sealed class FailingStream(byte[] contents, int room) : ForwardOnlyStream(new MemoryStream(contents))
{
    private int _left = room;

    public override bool CanWrite => true;

    public override int Read(byte[] buffer, int offset, int count)
    {
        int read = base.Read(buffer, offset, count);
        Take(read);
        return read;
    }

    public override void Write(byte[] buffer, int offset, int count) => Take(count);

    private void Take(int count)
    {
        _left -= count;
        if (_left < 0)
        {
            throw new IOException("The disk is gone.");
        }
    }
}

/// <summary>Steps an optimizer while it is being saved.</summary>
internal sealed class SteppingStream(Optimizer optimizer) : MemoryStream
{
    public override void Write(ReadOnlySpan<byte> buffer) => optimizer.Step();
}
