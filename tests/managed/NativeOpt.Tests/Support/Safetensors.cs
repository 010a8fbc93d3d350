using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace NativeOpt.Tests.Support;

/// <summary>A tensor of a safetensors file.</summary>
internal sealed record SafetensorsItem(string Name, string DType, long[] Shape, byte[] Data)
{
    public static SafetensorsItem Singles(string name, long[] shape, params float[] values) =>
        new(name, "F32", shape, MemoryMarshal.AsBytes(values.AsSpan()).ToArray());

    public static SafetensorsItem Halves(string name, DType type, long[] shape, params double[] values) =>
        new(
            name, type == NativeOpt.DType.BFloat16 ? "BF16" : "F16", shape,
            MemoryMarshal.AsBytes(values.Select(value => Rounding.BitsOf(type, value)).ToArray().AsSpan()).ToArray());

    public static SafetensorsItem Integer(string name, long value) => new(name, "I64", [], BitConverter.GetBytes(value));
}

/// <summary>Safetensors files as other programs write them; written from the published format.</summary>
internal static class Safetensors
{
    public static byte[] Build(params SafetensorsItem[] items)
    {
        Dictionary<string, object> header = [];
        long end = 0;
        foreach (SafetensorsItem item in items)
        {
            long begin = end;
            end += item.Data.Length;
            header.Add(item.Name, new { dtype = item.DType, shape = item.Shape, data_offsets = new[] { begin, end } });
        }

        byte[] text = Encoding.UTF8.GetBytes(JsonSerializer.Serialize(header));
        byte[] length = new byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)text.Length);
        return [.. length, .. text, .. items.SelectMany(item => item.Data)];
    }
}
