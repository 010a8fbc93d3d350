namespace NativeOpt.TorchSharp;

/// <summary>
/// What <c>torch</c> is to TorchSharp: <c>nativeopt.optim.AdamW(model.parameters(), lr: 1e-3)</c> in place of
/// <c>torch.optim.AdamW(model.parameters(), lr: 1e-3)</c>.
/// </summary>
public static partial class nativeopt
{
    /// <summary>The optimizers.</summary>
    public static partial class optim
    {
    }
}
