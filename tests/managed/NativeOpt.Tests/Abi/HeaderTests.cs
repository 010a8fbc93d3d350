using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using NativeOpt.Interop;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Abi;

/// <summary>The C header, the loaded library and the bindings say the same.</summary>
public partial class HeaderTests
{
    private static readonly string Header = Comments().Replace(
        File.ReadAllText(Path.Combine(RepositoryRoot.Path, "native", "include", "nativeopt", "nativeopt.h")), " ");

    [Fact]
    public void Every_function_of_the_header_is_bound_and_the_reverse()
    {
        string[] declared = [.. Functions().Matches(Header).Select(match => match.Groups[1].Value)];
        Assert.Equal(Regex.Count(Header, @"^NOPT_API\b", RegexOptions.Multiline), declared.Length);
        Assert.Equal(declared.Order(), Bound().Select(method => method.Name).Order());
    }

    [Fact]
    public void Every_bound_function_is_exported_under_its_own_name()
    {
        nint library = NativeLibrary.Load(NativeRuntime.LoadedFrom);
        foreach (MethodInfo method in Bound())
        {
            DllImportAttribute import = method.GetCustomAttribute<DllImportAttribute>()!;
            Assert.Equal((method.Name, "nativeopt"), (import.EntryPoint, import.Value));
            Assert.Equal(CallingConvention.Cdecl, import.CallingConvention);
            Assert.NotEqual(0, NativeLibrary.GetExport(library, method.Name));
        }
    }

    [Fact]
    public void Every_parameter_list_has_the_headers_length()
    {
        Dictionary<string, MethodInfo> bound = Bound().ToDictionary(method => method.Name);
        foreach (Match match in Functions().Matches(Header))
        {
            string list = match.Groups[2].Value.Trim();
            int count = list == "void" ? 0 : list.Count(c => c == ',') + 1;
            Assert.Equal((match.Groups[1].Value, count), (match.Groups[1].Value, bound[match.Groups[1].Value].GetParameters().Length));
        }
    }

    [Fact]
    public void Every_enum_value_of_the_header_is_bound_and_the_reverse()
    {
        string[] declared =
        [
            .. from Match type in Enums().Matches(Header)
               from Match value in EnumValues().Matches(type.Groups[2].Value)
               select $"{type.Groups[1].Value}.{value.Groups[1].Value} = {value.Groups[2].Value}",
        ];
        string[] bound =
        [
            .. from type in typeof(NativeMethods).Assembly.GetExportedTypes()
               where type.IsEnum
               from name in type.GetEnumNames()
               select $"{type.Name}.{name} = {Convert.ToInt64(Enum.Parse(type, name), CultureInfo.InvariantCulture)}",
        ];
        Assert.True(declared.Length > 20, "the header's enums were not found");
        Assert.Equal(declared.Order(), bound.Order());
        Assert.All(
            typeof(NativeMethods).Assembly.GetExportedTypes().Where(type => type.IsEnum),
            type => Assert.Equal(sizeof(int), Marshal.SizeOf(type.GetEnumUnderlyingType())));
    }

    [Fact]
    public void Public_enums_have_the_native_values()
    {
        Assert.Equal((int)nopt_backend.NOPT_BACKEND_CPU, (int)Backend.Cpu);
        Assert.Equal((int)nopt_backend.NOPT_BACKEND_CUDA, (int)Backend.Cuda);
        Assert.Equal((int)nopt_dtype.NOPT_DTYPE_FLOAT32, (int)DType.Float32);
        Assert.Equal((int)nopt_dtype.NOPT_DTYPE_BFLOAT16, (int)DType.BFloat16);
        Assert.Equal((int)nopt_dtype.NOPT_DTYPE_FLOAT16, (int)DType.Float16);
        Assert.Equal((int)nopt_dtype.NOPT_DTYPE_DYNAMIC8, (int)DType.Dynamic8);

        // The type of remainders alone is not a native one, nor will a native one be taken for it.
        Assert.Equal(Enum.GetValues<nopt_dtype>().Length + 1, Enum.GetValues<DType>().Length);
        Assert.False(Enum.IsDefined((nopt_dtype)DType.UInt16));
        Assert.Equal((int)nopt_status.NOPT_ERROR_UNAVAILABLE, (int)NativeOptStatus.Unavailable);
        Assert.Equal((int)nopt_status.NOPT_ERROR_DEVICE, (int)NativeOptStatus.Device);
        Assert.Equal((int)nopt_status.NOPT_ERROR_INTERNAL, (int)NativeOptStatus.Internal);

        // The dimer's options are passed on as numbers.
        Same<nopt_dimer_scope, DimerScope>();
        Same<nopt_dimer_rotation, DimerRotation>();
        Same<nopt_dimer_force, DimerForce>();
        Same<nopt_dimer_angle, RotationAngle>();
        Same<nopt_dimer_correction, DimerCorrection>();

        static void Same<TNative, TPublic>()
            where TNative : struct, Enum
            where TPublic : struct, Enum
        {
            // NOPT_DIMER_ROTATION_MINIMUM_CURVATURE and MinimumCurvature.
            Assert.Equal(Enum.GetNames<TNative>().Length, Enum.GetNames<TPublic>().Length);
            foreach ((TNative native, TPublic own) in Enum.GetValues<TNative>().Zip(Enum.GetValues<TPublic>()))
            {
                Assert.Equal(
                    Convert.ToInt32(native, CultureInfo.InvariantCulture), Convert.ToInt32(own, CultureInfo.InvariantCulture));
                Assert.EndsWith(
                    "_" + Words().Replace(own.ToString(), "_").ToUpperInvariant(), native.ToString(), StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void The_versions_agree()
    {
        Match version = Regex.Match(Header, @"#define NOPT_ABI_VERSION (\d+)");
        Assert.Equal(NativeMethods.NOPT_ABI_VERSION, int.Parse(version.Groups[1].Value, CultureInfo.InvariantCulture));
        Assert.Equal(NativeMethods.NOPT_ABI_VERSION, NativeRuntime.AbiVersion);
    }

    private static IEnumerable<MethodInfo> Bound() =>
        typeof(NativeMethods).GetMethods(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.DeclaredOnly)
            .Where(method => method.Attributes.HasFlag(MethodAttributes.PinvokeImpl));

    [GeneratedRegex(@"/\*.*?\*/", RegexOptions.Singleline)]
    private static partial Regex Comments();

    [GeneratedRegex(@"^NOPT_API\s[^(;]*?\b(nopt_\w+)\(([^)]*)\);", RegexOptions.Multiline)]
    private static partial Regex Functions();

    [GeneratedRegex(@"(?<=[a-z])(?=[A-Z])")]
    private static partial Regex Words();

    [GeneratedRegex(@"typedef enum (\w+)[^{;]*\{([^}]*)\}")]
    private static partial Regex Enums();

    [GeneratedRegex(@"\b(NOPT_\w+)\s*=\s*(-?\d+)")]
    private static partial Regex EnumValues();
}
