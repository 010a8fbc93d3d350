using System.Text;

namespace NativeOpt.Cli.Selftest;

/// <summary>What a case's tensors are like, whatever the rule.</summary>
/// <param name="Shape">How many there are, and of what sizes.</param>
/// <param name="Alignment">Where they begin.</param>
/// <param name="HasTensorOptions">Whether tensors have learning-rate scales and weight decays of their own.</param>
/// <param name="HasStrange">Whether a step's gradients have NaNs and infinities.</param>
/// <param name="HasOwnStream">Whether a GPU's work is on a stream of its own, not on the default one.</param>
/// <param name="IsCapturable">Whether the device counts the steps and has the learning rate.</param>
internal sealed record SelftestArrangement(
    SelftestShape Shape,
    SelftestAlignment Alignment,
    bool HasTensorOptions = false,
    bool HasStrange = false,
    bool HasOwnStream = false,
    bool IsCapturable = false)
{
    /// <summary>All sizes that are awkward to somebody, at each alignment.</summary>
    public static IReadOnlyList<SelftestArrangement> Awkward { get; } =
    [
        new(SelftestShape.Awkward, SelftestAlignment.Aligned),
        new(SelftestShape.Awkward, SelftestAlignment.Alike, HasTensorOptions: true, HasOwnStream: true),
        new(SelftestShape.Awkward, SelftestAlignment.Apart, HasTensorOptions: true, HasStrange: true, IsCapturable: true),
    ];

    public static IReadOnlyList<SelftestArrangement> Others { get; } =
    [
        new(SelftestShape.Random, SelftestAlignment.Apart, HasTensorOptions: true, HasOwnStream: true),
        new(SelftestShape.Scalars, SelftestAlignment.Alike, HasTensorOptions: true),
        new(SelftestShape.Small, SelftestAlignment.Aligned, HasStrange: true, HasOwnStream: true, IsCapturable: true),
        new(SelftestShape.Empty, SelftestAlignment.Aligned, HasTensorOptions: true),
    ];

    /// <summary>Takes long, unless it is quick.</summary>
    public static SelftestArrangement Large { get; } = new(SelftestShape.Large, SelftestAlignment.Alike);

    public override string ToString()
    {
        var text = new StringBuilder($"{Shape.Name} {Alignment.ToString().ToLowerInvariant()}");
        text.Append(HasTensorOptions ? ", tensors with options" : "");
        text.Append(HasStrange ? ", NaNs and infinities" : "");
        text.Append(HasOwnStream ? ", own stream" : "");
        text.Append(IsCapturable ? ", capturable" : "");
        return text.ToString();
    }
}
