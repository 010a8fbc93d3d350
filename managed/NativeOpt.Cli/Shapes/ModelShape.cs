using System.Globalization;

namespace NativeOpt.Cli.Shapes;

/// <summary>The sizes of a model's tensors: of a known one, or as they are asked for.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="ElementCounts">The elements of each tensor.</param>
internal sealed record ModelShape(string Name, IReadOnlyList<long> ElementCounts)
{
    /// <summary>How the command line writes shapes.</summary>
    public const string Syntax = "COUNTxSIZE: so many tensors of so many elements; or a sum of those, as 10x64,1x1000";

    // What a set of a million tensors takes to describe is little beside what they hold; beyond, it is a slip of the pen.
    private const int MaxTensors = 1_000_000;
    private const long MaxElements = 1L << 50;

    /// <summary>How large a shape can be.</summary>
    public static readonly string Bounds = string.Create(
        CultureInfo.InvariantCulture, $"at most {MaxTensors:N0} tensors and {MaxElements:N0} elements in all");

    private static readonly (string Name, string Tensors)[] Known =
    [
        (
            "gpt2",
            "74x768,12x2304,12x3072,12x589824,1x786432,12x1769472,24x2359296,1x38597376"
        ),
        (
            "resnet50",
            "14x64,16x128,32x256,22x512,1x1000,14x1024,8x2048,1x4096,1x9408,6x16384,1x32768,3x36864,7x65536,2x131072,4x147456,"
            + "11x262144,2x524288,6x589824,5x1048576,1x2048000,1x2097152,3x2359296"
        ),
        (
            "vit-s",
            "76x384,1x1000,12x1152,12x1536,1x75648,12x147456,1x294912,1x384000,12x442368,24x589824"
        ),
        ("many-small", "10000x64,1000x1024"),
        ("few-large", "4x67108864"),
    ];

    /// <summary>The names of the known ones.</summary>
    public static IReadOnlyList<string> KnownNames { get; } = [.. Known.Select(static known => known.Name)];

    /// <summary>The elements of all tensors together.</summary>
    public long ElementCount => ElementCounts.Sum();

    /// <summary>Reads the name of a known one, or the sizes themselves; null if it is neither.</summary>
    public static ModelShape? TryParse(string text)
    {
        string tensors = Known.FirstOrDefault(known => known.Name == text).Tensors ?? text;
        List<long> elementCounts = [];
        long left = MaxElements;
        foreach (string term in tensors.Split(','))
        {
            if (term.Split('x') is not [var countText, var sizeText]
                || !int.TryParse(countText, NumberStyles.None, CultureInfo.InvariantCulture, out int count)
                || !long.TryParse(sizeText, NumberStyles.None, CultureInfo.InvariantCulture, out long size)
                || count < 1 || count > MaxTensors - elementCounts.Count || size < 1 || size > left / count)
            {
                return null;
            }

            elementCounts.AddRange(Enumerable.Repeat(size, count));
            left -= count * size;
        }

        return new ModelShape(text, elementCounts);
    }
}
