using NativeOpt.TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace TorchSharpSample;

/// <summary>
/// Takes steps on equal gradients with TorchSharp's optimizers and NativeOpt's, and with TorchSharp's in float64, and tells how far the
/// parameters are apart: the norm of their difference over their norm.
/// </summary>
internal static class Accuracy
{
    private static readonly long[][] _shapes = [[64, 33], [257], [8, 8, 3]];

    private static readonly (string Name, Make Torchs, Make Ours)[] _optimizers =
    [
        ("Adam", static p => optim.Adam(p), static p => nativeopt.optim.Adam(p)),
        ("AdamW", static p => optim.AdamW(p, weight_decay: 0.01), static p => nativeopt.optim.AdamW(p, weight_decay: 0.01)),
        ("SGD", static p => optim.SGD(p, 1e-3, 0.9), static p => nativeopt.optim.SGD(p, 1e-3, 0.9)),
        ("RAdam", static p => optim.RAdam(p, lr: 1), static p => nativeopt.optim.RAdam(p, lr: 1)),
        ("NAdam", static p => optim.NAdam(p), static p => nativeopt.optim.NAdam(p)),
        ("Adamax", static p => optim.Adamax(p), static p => nativeopt.optim.Adamax(p)),
        ("Adagrad", static p => optim.Adagrad(p), static p => nativeopt.optim.Adagrad(p)),
        ("Adadelta", static p => optim.Adadelta(p), static p => nativeopt.optim.Adadelta(p)),
        ("RMSProp", static p => optim.RMSProp(p), static p => nativeopt.optim.RMSProp(p)),
        ("RMSProp 0.9", static p => optim.RMSProp(p, momentum: 0.9), static p => nativeopt.optim.RMSProp(p, momentum: 0.9)),
        ("Rprop", static p => optim.Rprop(p), static p => nativeopt.optim.Rprop(p)),
        ("ASGD", static p => optim.ASGD(p), static p => nativeopt.optim.ASGD(p)),
    ];

    private delegate optim.Optimizer Make(IEnumerable<Parameter> parameters);

    public static void Run(int steps)
    {
        Console.WriteLine($"{steps} steps; RAdam with lr 1, as TorchSharp multiplies by it twice");
        Console.WriteLine($"{"",-12}{"ours, TorchSharp",18}{"ours, float64",16}{"TorchSharp, float64",21}");
        foreach ((string name, Make torchs, Make ours) in _optimizers)
        {
            Parameter[] exact = MakeParameters(ScalarType.Float64), first = MakeParameters(ScalarType.Float32),
                second = MakeParameters(ScalarType.Float32);
            using (optim.Optimizer a = torchs(exact), b = torchs(first), c = ours(second))
            {
                for (int step = 0; step < steps; step++)
                {
                    using IDisposable scope = NewDisposeScope();
                    SetGradients(step, exact, first, second);
                    a.step();
                    b.step();
                    c.step();
                }
            }

            Console.WriteLine(FormattableString.Invariant(
                $"{name,-12}{Apart(second, first),18:E1}{Apart(second, exact),16:E1}{Apart(first, exact),21:E1}"));
        }
    }

    private static Parameter[] MakeParameters(ScalarType type)
    {
        random.manual_seed(1);
        return [.. _shapes.Select(shape => nn.Parameter(randn(shape).to(type)))];
    }

    private static void SetGradients(int step, params Parameter[][] lists)
    {
        for (int i = 0; i < _shapes.Length; i++)
        {
            random.manual_seed((1000 * step) + i);
            Tensor gradient = randn(_shapes[i]) * Math.Pow(10, i - 2);
            foreach (Parameter[] list in lists)
            {
                list[i].grad = gradient.to(list[i].dtype).DetachFromDisposeScope();
            }
        }
    }

    private static double Apart(Parameter[] actual, Parameter[] expected)
    {
        using IDisposable scope = NewDisposeScope();
        (double difference, double norm) = (0, 0);
        for (int i = 0; i < actual.Length; i++)
        {
            Tensor to = expected[i].detach().to(ScalarType.Float64);
            difference += (actual[i].detach().to(ScalarType.Float64) - to).square().sum().item<double>();
            norm += to.square().sum().item<double>();
        }

        return Math.Sqrt(difference / norm);
    }
}
