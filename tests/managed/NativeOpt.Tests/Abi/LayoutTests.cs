using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using NativeOpt.Interop;
using Xunit;

namespace NativeOpt.Tests.Abi;

/// <summary>The layout of every struct, as the C++ compiler reports it, is the managed one's.</summary>
public unsafe class LayoutTests
{
    private static readonly Dictionary<string, NativeStruct> Reported = Parse();

    public static TheoryData<string> Names => [.. Reported.Keys];

    [Fact]
    public void Every_struct_is_reported_and_the_reverse() =>
        Assert.Equal(ManagedStructs().Select(type => type.Name).Order(), Reported.Keys.Order());

    [Theory]
    [MemberData(nameof(Names))]
    public void Fields_are_the_same(string name)
    {
        Type managed = ManagedStructs().Single(type => type.Name == name);
        NativeField[] fields =
        [
            .. Fields(managed).Select(field => new NativeField(
                field.Name, (int)Marshal.OffsetOf(managed, field.Name), SizeOf(field.FieldType))),
        ];
        Assert.Equal(Reported[name].Fields, fields);
        Assert.Equal(Reported[name].Size, SizeOf(managed));
    }

    /// <summary>A field that is missing from the report, or padding whose bytes would be undefined, leaves a gap.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Fields_cover_the_struct(string name)
    {
        int end = 0;
        foreach (NativeField field in Reported[name].Fields)
        {
            Assert.Equal((field.Name, end), (field.Name, field.Offset));
            end += field.Size;
        }

        Assert.Equal(Reported[name].Size, end);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_size_comes_first(string name) =>
        Assert.Equal(new NativeField("struct_size", 0, sizeof(uint)), Reported[name].Fields[0]);

    private static IEnumerable<Type> ManagedStructs() =>
        typeof(NativeMethods).Assembly.GetExportedTypes()
            .Where(type => type is { IsValueType: true, IsEnum: false, IsNested: false } && Fields(type).Length > 0);

    private static FieldInfo[] Fields(Type type) =>
        [.. type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).OrderBy(field => field.MetadataToken)];

    // Unsafe.SizeOf<T>(), which unlike Marshal.SizeOf knows inline arrays.
    private static int SizeOf(Type type) => type.IsPointer
        ? sizeof(nint)
        : (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;

    private static Dictionary<string, NativeStruct> Parse()
    {
        Dictionary<string, NativeStruct> structs = [];
        NativeStruct? current = null;
        string report = Marshal.PtrToStringUTF8((nint)NativeMethods.nopt_abi_layout())!;
        foreach (string line in report.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            switch (line.Split(' '))
            {
                case ["struct", string name, string size]:
                    current = new NativeStruct(Number(size), []);
                    structs.Add(name, current);
                    break;
                case ["field", string name, string offset, string size]:
                    current!.Fields.Add(new NativeField(name, Number(offset), Number(size)));
                    break;
                default:
                    throw new InvalidDataException(line);
            }
        }

        return structs;

        static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
    }

    private sealed record NativeStruct(int Size, List<NativeField> Fields);

    private sealed record NativeField(string Name, int Offset, int Size);
}
