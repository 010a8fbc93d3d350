using System.Runtime.InteropServices;
using System.Security.Cryptography;
using NativeOpt;
using NativeOpt.TorchSharp;
using NativeOpt.TorchSharp.Modules;
using TorchSharp;
using static TorchSharp.torch;
using Parameter = TorchSharp.Modules.Parameter;

namespace TorchSharpAdapter;

/// <summary>
/// Steps of the same parameters on the CPU and the way that CUDA tensors go, over the library's CUDA sources built for the host,
/// which takes tensors of the CPU for those of a device. Its streams work only when somebody waits for them.
/// </summary>
internal static class CudaPath
{
    private const int Steps = 6;
    private static Tensor[] _kept = [];
    private static readonly NativeOpt.Device _cuda = NativeOpt.Device.Cuda(0);

    /// <summary>What is tried, by name; each returns the parameters' bits and the step counts after some steps.</summary>
    public static IReadOnlyDictionary<string, Func<NativeOpt.Device, string>> Cases { get; } =
        new Dictionary<string, Func<NativeOpt.Device, string>>
        {
            ["Adam"] = static device => Run(device, static p => nativeopt.optim.Adam(p, lr: 1e-2)),
            ["AdamW, AMSGrad"] = static device =>
                Run(device, static p => nativeopt.optim.AdamW(p, lr: 1e-2, weight_decay: 0.1, amsgrad: true)),
            ["SGD"] = static device => Run(device, static p => nativeopt.optim.SGD(p, 1e-2, 0.9)),
            ["DualAdam"] = static device => Run(device, static p => nativeopt.optim.DualAdam(p, lr: 1e-2)),
            ["Sophia"] = static device => Run(device, static p => nativeopt.optim.Sophia(p, lr: 1e-2), GiveHessian),
            ["clipping"] = static device => Run(
                device, static p => nativeopt.optim.Adam(p, lr: 1e-2, step_options: new StepOptions { MaxGradNorm = 0.5 })),
            ["skipping"] = static device => Run(
                device,
                static p => nativeopt.optim.Adam(p, lr: 1e-2, step_options: new StepOptions { SkipNonFinite = true }),
                SpoilThirdGradient),
            ["master weights"] = static device => Run(
                device,
                static p => nativeopt.optim.AdamW(p, lr: 1e-2, step_options: new StepOptions { MasterWeights = true }),
                type: ScalarType.BFloat16),
            ["late gradient"] = static device => Run(
                device, static p => nativeopt.optim.Adam(p, lr: 1e-2), static (_, p, step) => p[1].grad = step < 3 ? null : p[1].grad),
            ["copied gradient"] = static device => Run(
                device, static p => nativeopt.optim.Adam(p, lr: 1e-2),
                static (_, p, _) => p[0].grad = p[0].grad!.t().contiguous().t()),
            ["state files"] = static device => Run(device, static p => nativeopt.optim.Adam(p, lr: 1e-2), SaveAndLoad),
            ["another group"] = device => Run(
                device, static p => nativeopt.optim.Adam(p, lr: 1e-2), (optimizer, _, step) => AddGroup(device, optimizer, step)),
            ["another group, skipping"] = device => Run(
                device,
                static p => nativeopt.optim.Adam(p, lr: 1e-2, step_options: new StepOptions { SkipNonFinite = true }),
                (optimizer, p, step) =>
                {
                    SpoilThirdGradient(optimizer, p, step);
                    AddGroup(device, optimizer, step);
                }),
            ["running scalars, skipping"] = static device => Run(
                device,
                static p => nativeopt.optim.NAdam(p, lr: 1e-2, step_options: new StepOptions { SkipNonFinite = true }),
                static (optimizer, p, step) =>
                {
                    SpoilThirdGradient(optimizer, p, step);
                    SaveAndLoad(optimizer, p, step);
                }),
            ["scaler"] = RunScaler,
            ["dimer"] = RunDimer,
        };

    /// <summary>Runs all cases on both and says which have the same bits.</summary>
    /// <returns>0 if all have.</returns>
    public static int Run(TextWriter output)
    {
        AdoptHostMemory();
        int failures = 0;
        foreach ((string name, Func<NativeOpt.Device, string> run) in Cases)
        {
            (string expected, string actual) = (run(NativeOpt.Device.Cpu), run(_cuda));
            failures += expected == actual ? 0 : 1;
            output.WriteLine(expected == actual ? $"{name}: same" : $"{name}: {actual} where the CPU has {expected}");
        }

        return failures;
    }

    private static string Run(
        NativeOpt.Device device, Func<Parameter[], FusedOptimizer> make, Action<FusedOptimizer, Parameter[], int>? between = null,
        ScalarType type = ScalarType.Float32)
    {
        Parameter[] parameters = MakeParameters(type);
        using FusedOptimizer optimizer = On(device, () => make(parameters));
        for (int step = 0; step < Steps; step++)
        {
            SetGradients(parameters, step);
            between?.Invoke(optimizer, parameters, step);
            optimizer.step();
            Settle();
        }

        return Describe(optimizer, parameters);
    }

    private static string RunScaler(NativeOpt.Device device)
    {
        Parameter[] parameters = MakeParameters(ScalarType.Float32);
        using FusedOptimizer optimizer = On(device, () => nativeopt.optim.AdamW(parameters, lr: 1e-2));
        NativeOpt.TorchSharp.GradScaler scaler = new(init_scale: 8, growth_interval: 2);
        for (int step = 0; step < Steps; step++)
        {
            SetGradients(parameters, step);
            SpoilThirdGradient(optimizer, parameters, step);
            scaler.step(optimizer);
            scaler.update();
            Settle();
        }

        return Describe(optimizer, parameters) + FormattableString.Invariant($" {scaler.get_scale()}");
    }

    private static string RunDimer(NativeOpt.Device device)
    {
        Parameter[] parameters = MakeParameters(ScalarType.Float32);
        using FusedOptimizer optimizer = On(device, () => nativeopt.optim.AdamW(parameters, lr: 1e-2));
        using Dimer dimer = nativeopt.optim.Dimer(optimizer, DimerOptions.Recommended with { Interval = 2 });
        for (int step = 0; step < Steps; step++)
        {
            dimer.step(() =>
            {
                Settle();
                dimer.zero_grad();
                Tensor loss = parameters.Select(static p => (p.pow(4) - p.pow(2)).sum()).Aggregate(static (a, b) => a + b);
                loss.backward();
                return loss;
            })!.Dispose();
            Settle();
        }

        return Describe(optimizer, parameters) + FormattableString.Invariant($" {dimer.status().Curvature:R}");
    }

    private static void GiveHessian(FusedOptimizer optimizer, Parameter[] parameters, int step)
    {
        foreach (Parameter parameter in parameters)
        {
            if (step % 2 == 0)
            {
                ((NativeOpt.TorchSharp.Modules.Sophia)optimizer).set_hessian(parameter, parameter.grad!.square());
            }
        }

        // The step frees its copies. On a device their memory is used again only after what is queued; on the host at once.
        _kept = [.. optimizer.GivenInputs.Select(static input => input.alias())];
    }

    private static void SpoilThirdGradient(FusedOptimizer optimizer, Parameter[] parameters, int step)
    {
        if (step == 2)
        {
            parameters[1].grad![1] = float.NaN;
        }
    }

    private static void SaveAndLoad(FusedOptimizer optimizer, Parameter[] parameters, int step)
    {
        if (step == 3)
        {
            using MemoryStream file = new();
            optimizer.save_state_dict(new BinaryWriter(file));
            file.Position = 0;
            optimizer.load_state_dict(new BinaryReader(file));
        }
    }

    private static void AddGroup(NativeOpt.Device device, FusedOptimizer optimizer, int step)
    {
        if (step == 3)
        {
            random.manual_seed(9);
            Parameter added = nn.Parameter(torch.randn(5));
            added.grad = torch.randn(5);
            On(device, () =>
            {
                optimizer.add_param_group(new TorchSharp.Modules.Adam.ParamGroup([added], lr: 1e-3));
                return optimizer;
            });
        }
    }

    private static Parameter[] MakeParameters(ScalarType type)
    {
        random.manual_seed(1);
        return [nn.Parameter(torch.randn(40, 30).to(type)), nn.Parameter(torch.randn(7).to(type))];
    }

    private static void SetGradients(Parameter[] parameters, int step)
    {
        random.manual_seed(100 + step);
        foreach (Parameter parameter in parameters)
        {
            parameter.grad = torch.randn(parameter.shape).to(parameter.dtype);
        }
    }

    private static FusedOptimizer On(NativeOpt.Device device, Func<FusedOptimizer> make)
    {
        FusedParameter.DeviceOfHostMemory = device;
        FusedOptimizer optimizer = make();
        FusedParameter.DeviceOfHostMemory = NativeOpt.Device.Cpu;
        return optimizer;
    }

    // Torch's operations on CUDA tensors wait their turn in the stream; those on the host's do not.
    private static void Settle() => DeviceStream.Default.Synchronize(_cuda);

    private static string Describe(FusedOptimizer optimizer, Parameter[] parameters)
    {
        using MemoryStream file = new();
        optimizer.save_state_dict(new BinaryWriter(file));
        return string.Join(' ', parameters.Select(static parameter => Hash(MemoryMarshal.AsBytes<float>(Models.Values(parameter)))))
            + " " + Hash(file.ToArray());

        static string Hash(ReadOnlySpan<byte> bytes) => Convert.ToHexString(SHA256.HashData(bytes));
    }

    // Of the stand-in for CUDA: has memory that it did not allocate count as that of a device.
    private static unsafe void AdoptHostMemory() =>
        ((delegate* unmanaged<int, void>)NativeLibrary.GetExport(
            NativeLibrary.Load(NativeRuntime.LoadedFrom), "cuda_on_host_adopt"))(_cuda.Index);
}
