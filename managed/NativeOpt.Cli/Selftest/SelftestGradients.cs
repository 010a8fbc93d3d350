using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>What becomes of the gradients before a step, and which tensors have none.</summary>
/// <param name="Name">What cases call it.</param>
/// <param name="Options">The options; struct_size is filled in.</param>
/// <param name="HasFrozen">
/// Whether every third tensor never has a gradient, and every third one has none in the first step.
/// </param>
internal sealed unsafe record SelftestGradients(string Name, GradientOptions Options, bool HasFrozen = false)
{
    public const string Group = "grad options";

    public static IReadOnlyList<SelftestGradients> All { get; } =
    [
        new("frozen tensors", new GradientOptions(), HasFrozen: true),
        new("clip norm", new GradientOptions { MaxNorm = 0.5, LossScale = 3 }),
        new("clip value, frozen tensors", new GradientOptions { MaxValue = 0.125, LossScale = 1024 }, HasFrozen: true),
        new("skip", new GradientOptions { SkipNonFinite = true }),
        new(
            "clip norm and value, skip, frozen tensors",
            new GradientOptions { MaxNorm = 100, MaxValue = 0.125, LossScale = 0.25, SkipNonFinite = true },
            HasFrozen: true),
    ];

    /// <summary>Whether steps are skipped: then the device counts them.</summary>
    public bool Skips => Options.SkipNonFinite;

    /// <summary>Whether a tensor never has a gradient.</summary>
    public bool IsFrozen(int tensor) => HasFrozen && tensor % 3 == 1;

    /// <summary>Whether a tensor has a gradient in a step, counted from 1.</summary>
    public bool HasGradient(int tensor, int step) => !HasFrozen || tensor % 3 == 0 || (tensor % 3 == 2 && step > 1);

    public nopt_grad_options ToNative() => new()
    {
        struct_size = (uint)sizeof(nopt_grad_options),
        flags = (Options.MaxNorm is null ? 0 : (uint)nopt_grad_flag.NOPT_GRAD_CLIP_NORM)
            | (Options.MaxValue is null ? 0 : (uint)nopt_grad_flag.NOPT_GRAD_CLIP_VALUE)
            | (Options.SkipNonFinite ? (uint)nopt_grad_flag.NOPT_GRAD_SKIP_NONFINITE : 0),
        max_norm = Options.MaxNorm ?? 0,
        max_value = Options.MaxValue ?? 0,
        loss_scale = Options.LossScale,
    };
}
