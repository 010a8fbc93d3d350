using System.Globalization;
using System.Reflection;
using NativeOpt;
using NativeOpt.TorchSharp;
using Xunit;
using static TorchSharp.torch;
using Parameter = TorchSharp.Modules.Parameter;
using TorchModules = TorchSharp.Modules;

namespace TorchSharpAdapter;

/// <summary>The optimizers against TorchSharp's own, on the same gradients.</summary>
public class OptimizerTests
{
    private static readonly long[][] Shapes = [[33, 7], [5], [2, 3, 4], [1], [0, 4]];

    /// <summary>Optimizers of ours and of TorchSharp's with the same arguments.</summary>
    public static TheoryData<string> Pairs =>
    [
        "Adam", "Adam decay", "Adam amsgrad", "Adam maximize", "AdamW", "AdamW decay", "AdamW amsgrad maximize", "SGD", "SGD decay",
        "SGD momentum", "SGD nesterov decay", "SGD maximize", "SGD dampening", "RAdam", "RAdam decay", "NAdam", "NAdam decay", "Adamax", "Adamax decay",
        "Adagrad", "Adagrad decay", "Adadelta", "Adadelta decay maximize", "RMSProp", "RMSProp momentum", "RMSProp centered decay",
        "RMSProp all", "Rprop", "Rprop limits maximize", "ASGD", "ASGD averages",
    ];

    internal static (optim.Optimizer Ours, optim.Optimizer Torchs) Make(
        string pair, IEnumerable<Parameter> ours, IEnumerable<Parameter> torchs) => pair switch
        {
            "Adam" => (nativeopt.optim.Adam(ours), optim.Adam(torchs)),
            "Adam decay" => (nativeopt.optim.Adam(ours, 3e-3, 0.8, 0.99, 1e-6, 0.1), optim.Adam(torchs, 3e-3, 0.8, 0.99, 1e-6, 0.1)),
            "Adam amsgrad" => (nativeopt.optim.Adam(ours, amsgrad: true), optim.Adam(torchs, amsgrad: true)),
            "Adam maximize" => (nativeopt.optim.Adam(ours, maximize: true), optim.Adam(torchs, maximize: true)),
            "AdamW" => (nativeopt.optim.AdamW(ours), optim.AdamW(torchs)),
            "AdamW decay" => (nativeopt.optim.AdamW(ours, 3e-3, weight_decay: 0.1), optim.AdamW(torchs, 3e-3, weight_decay: 0.1)),
            "AdamW amsgrad maximize" =>
                (nativeopt.optim.AdamW(ours, amsgrad: true, maximize: true), optim.AdamW(torchs, amsgrad: true, maximize: true)),
            "SGD" => (nativeopt.optim.SGD(ours, 0.01), optim.SGD(torchs, 0.01)),
            "SGD decay" => (nativeopt.optim.SGD(ours, 0.01, weight_decay: 0.1), optim.SGD(torchs, 0.01, weight_decay: 0.1)),
            "SGD momentum" => (nativeopt.optim.SGD(ours, 0.01, 0.9), optim.SGD(torchs, 0.01, 0.9)),
            "SGD nesterov decay" => (
                nativeopt.optim.SGD(ours, 0.01, 0.9, weight_decay: 0.1, nesterov: true),
                optim.SGD(torchs, 0.01, 0.9, weight_decay: 0.1, nesterov: true)),
            "SGD maximize" => (nativeopt.optim.SGD(ours, 0.01, 0.9, maximize: true), optim.SGD(torchs, 0.01, 0.9, maximize: true)),
            "SGD dampening" => (nativeopt.optim.SGD(ours, 0.01, 0.9, 0.3, 0.1), optim.SGD(torchs, 0.01, 0.9, 0.3, 0.1)),

            // TorchSharp's RAdam multiplies by the learning rate twice, which shows at any other one than 1.
            "RAdam" => (nativeopt.optim.RAdam(ours, 1), optim.RAdam(torchs, 1)),
            "RAdam decay" => (nativeopt.optim.RAdam(ours, 1, 0.8, 0.99, 1e-6, 0.1), optim.RAdam(torchs, 1, 0.8, 0.99, 1e-6, 0.1)),
            "NAdam" => (nativeopt.optim.NAdam(ours), optim.NAdam(torchs)),
            "NAdam decay" => (
                nativeopt.optim.NAdam(ours, 3e-3, 0.8, 0.99, 1e-6, 0.1, 0.02), optim.NAdam(torchs, 3e-3, 0.8, 0.99, 1e-6, 0.1, 0.02)),
            "Adamax" => (nativeopt.optim.Adamax(ours), optim.Adamax(torchs)),
            "Adamax decay" => (nativeopt.optim.Adamax(ours, 3e-3, 0.8, 0.99, 1e-6, 0.1), optim.Adamax(torchs, 3e-3, 0.8, 0.99, 1e-6, 0.1)),
            "Adagrad" => (nativeopt.optim.Adagrad(ours), optim.Adagrad(torchs)),
            "Adagrad decay" =>
                (nativeopt.optim.Adagrad(ours, 0.1, 0.01, 0.1, 0.5, 1e-6), optim.Adagrad(torchs, 0.1, 0.01, 0.1, 0.5, 1e-6)),
            "Adadelta" => (nativeopt.optim.Adadelta(ours), optim.Adadelta(torchs)),
            "Adadelta decay maximize" =>
                (nativeopt.optim.Adadelta(ours, 2, 0.8, 1e-5, 0.1, true), optim.Adadelta(torchs, 2, 0.8, 1e-5, 0.1, true)),
            "RMSProp" => (nativeopt.optim.RMSProp(ours), optim.RMSProp(torchs)),
            "RMSProp momentum" => (nativeopt.optim.RMSProp(ours, momentum: 0.9), optim.RMSProp(torchs, momentum: 0.9)),
            "RMSProp centered decay" => (
                nativeopt.optim.RMSProp(ours, centered: true, weight_decay: 0.1),
                optim.RMSProp(torchs, centered: true, weight_decay: 0.1)),
            "RMSProp all" => (
                nativeopt.optim.RMSProp(ours, 3e-3, 0.9, 1e-6, 0.1, 0.8, true, true),
                optim.RMSProp(torchs, 3e-3, 0.9, 1e-6, 0.1, 0.8, true, true)),
            "Rprop" => (nativeopt.optim.Rprop(ours), optim.Rprop(torchs)),
            "Rprop limits maximize" =>
                (nativeopt.optim.Rprop(ours, 0.1, 0.7, 1.5, 0.01, 0.2, true), optim.Rprop(torchs, 0.1, 0.7, 1.5, 0.01, 0.2, true)),
            "ASGD" => (nativeopt.optim.ASGD(ours, 0.01), optim.ASGD(torchs, 0.01)),
            "ASGD averages" => (
                nativeopt.optim.ASGD(ours, 0.01, 0.1, 0.6, 3, 0.1, true), optim.ASGD(torchs, 0.01, 0.1, 0.6, 3, 0.1, true)),
            _ => throw new ArgumentOutOfRangeException(nameof(pair)),
        };

    [TorchTheory]
    [MemberData(nameof(Pairs))]
    public void Two_hundred_steps_are_those_of_TorchSharp(string pair)
    {
        Parameter[] ours = Models.Parameters(3, Shapes);
        Parameter[] torchs = Models.Parameters(3, Shapes);
        (optim.Optimizer a, optim.Optimizer b) = Make(pair, ours, torchs);
        for (int step = 0; step < 200; step++)
        {
            Models.SetGradients(step, ours, torchs);
            a.step();
            b.step();
        }

        // TorchSharp's AdamW rounds 1 - lr * weight_decay to float32 first, and its ASGD 1 - lambd * eta, which is what the
        // difference is then.
        double bound = pair is "AdamW decay" or "ASGD" ? 5e-6 : 1e-6;
        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, bound);
        Assert.True(Models.RelativeDifference(ours, Models.Parameters(3, Shapes)) > 1e-2, "The steps moved nothing.");
    }

    [TorchFact]
    public void AdamW_is_nearer_to_float64_than_TorchSharps()
    {
        const double Rate = 3e-3, Decay = 0.1, Beta1 = 0.9, Beta2 = 0.999, Epsilon = 1e-8;
        Parameter[] ours = Models.Parameters(3, [1000]);
        Parameter[] torchs = Models.Parameters(3, [1000]);
        double[] exact = [.. Models.Values(ours[0]).Select(static x => (double)x)];
        double[] m = new double[1000], v = new double[1000];
        (optim.Optimizer a, optim.Optimizer b) = Make("AdamW decay", ours, torchs);
        for (int step = 1; step <= 200; step++)
        {
            Models.SetGradients(step, ours, torchs);
            using (Tensor gradient = ours[0].grad!)
            {
                float[] g = Models.Values(gradient);
                for (int i = 0; i < g.Length; i++)
                {
                    m[i] = (Beta1 * m[i]) + ((1 - Beta1) * g[i]);
                    v[i] = (Beta2 * v[i]) + ((1 - Beta2) * g[i] * g[i]);
                    exact[i] = (exact[i] * (1 - (Rate * Decay)))
                        - (Rate * m[i] / (1 - Math.Pow(Beta1, step)) / (Math.Sqrt(v[i] / (1 - Math.Pow(Beta2, step))) + Epsilon));
                }
            }

            a.step();
            b.step();
        }

        double own = Error(ours[0]), torch = Error(torchs[0]);
        Assert.InRange(own, 0, 1e-6);
        Assert.True(own < torch, $"Ours is off by {own}, TorchSharp's by {torch}.");

        double Error(Tensor parameter)
        {
            float[] values = Models.Values(parameter);
            double norm = Math.Sqrt(exact.Sum(static x => x * x));
            return Math.Sqrt(values.Zip(exact).Sum(static pair => Math.Pow(pair.First - pair.Second, 2))) / norm;
        }
    }

    [TorchTheory]
    [InlineData("Adam")]
    [InlineData("AdamW")]
    [InlineData("SGD")]
    [InlineData("RAdam")]
    [InlineData("NAdam")]
    [InlineData("Adamax")]
    [InlineData("Adagrad")]
    [InlineData("Adadelta")]
    [InlineData("RMSProp")]
    [InlineData("Rprop")]
    [InlineData("ASGD")]
    public void Factories_have_TorchSharps_arguments_and_defaults(string name)
    {
        MethodInfo[] theirs = [.. typeof(optim).GetMethods().Where(method => method.Name == name)];
        MethodInfo[] own = [.. typeof(nativeopt.optim).GetMethods().Where(method => method.Name == name)];
        Assert.Equal(theirs.Length, own.Length);
        Assert.Equal(3, own.Length);
        foreach ((MethodInfo their, MethodInfo our) in theirs.Zip(own))
        {
            Assert.Equal(
                their.GetParameters().Select(static p => (p.ParameterType, p.Name, p.DefaultValue)),
                our.GetParameters()[..^1].Select(static p => (p.ParameterType, p.Name, p.DefaultValue)));
            ParameterInfo last = our.GetParameters()[^1];
            Assert.Equal((typeof(StepOptions), "step_options", null), (last.ParameterType, last.Name, last.DefaultValue));
        }
    }

    [TorchTheory]
    [InlineData("InvAdam")]
    [InlineData("DualAdam")]
    [InlineData("Adan")]
    [InlineData("Sophia")]
    [InlineData("Lion")]
    [InlineData("MIAdam")]
    [InlineData("AdEMAMix")]
    [InlineData("ADOPT")]
    public void Factories_of_other_rules_have_the_librarys_defaults(string name)
    {
        Rule rule = Rule.Get(name.ToLowerInvariant());
        MethodInfo[] methods = [.. typeof(nativeopt.optim).GetMethods().Where(method => method.Name == name)];
        Assert.Equal(3, methods.Length);
        foreach (MethodInfo method in methods)
        {
            ParameterInfo[] options = method.GetParameters()[1..^1];
            Assert.Equal(
                rule.Hyperparameters.ToDictionary(static own => own.Name, static own => own.Default),
                options.Where(static p => p.ParameterType != typeof(bool)).ToDictionary(
                    static p => p.Name!, static p => Convert.ToDouble(p.DefaultValue, CultureInfo.InvariantCulture)));
            Assert.All(
                options.Where(static p => p.ParameterType == typeof(bool)),
                p => Assert.Equal(rule.DefaultFlags.Any(flag => flag.Name == p.Name), (bool)p.DefaultValue!));
        }
    }

    [TorchFact]
    public void Every_rule_of_the_library_steps_as_the_library_itself()
    {
        foreach (Rule rule in Rule.All.Where(static rule => rule.Name != "swats")) // which is refused
        {
            Parameter[] ours = Models.Parameters(5, Shapes);
            float[][] values = [.. ours.Select(Models.Values)];
            float[][] gradients = [.. values.Select(static v => new float[v.Length])];
            using var optimizer = nativeopt.optim.Rule(rule.Name, ours, new FusedOptions { ["lr"] = 0.01 });
            using ParameterSet set = ParameterSet.FromArrays(values, gradients);
            using RuleOptimizer reference = new(set, new RuleOptions(rule.Name) { LearningRate = 0.01 });
            for (int step = 0; step < 5; step++)
            {
                Models.SetGradients(step, [ours]);
                for (int i = 0; i < ours.Length; i++)
                {
                    using Tensor gradient = ours[i].grad!;
                    Models.Values(gradient).CopyTo(gradients[i], 0);
                }

                optimizer.step();
                reference.Step();
            }

            Assert.All(ours.Zip(values), pair => Assert.Equal(pair.Second, Models.Values(pair.First)));
        }
    }

    [TorchFact]
    public void A_closure_gives_the_loss()
    {
        using var model = Models.Mlp();
        using Tensor x = ones(4, 8);
        using var optimizer = nativeopt.optim.AdamW(model.parameters(), lr: 1e-2);
        float first = 0, last = 0;
        for (int step = 0; step < 30; step++)
        {
            using Tensor? loss = optimizer.step(() =>
            {
                optimizer.zero_grad();
                Tensor loss = model.forward(x).square().mean();
                loss.backward();
                return loss;
            });
            last = loss!.item<float>();
            first = step == 0 ? last : first;
        }

        Assert.True(last < first / 2, $"The loss went from {first} to {last}.");
        Assert.Null(optimizer.step());
    }

    [TorchFact]
    public void Parameter_groups_have_options_of_their_own()
    {
        Parameter[] ours = Models.Parameters(3, Shapes);
        Parameter[] torchs = Models.Parameters(3, Shapes);
        using var a = nativeopt.optim.AdamW(Groups(ours), lr: 2e-3);
        using var b = optim.AdamW(Groups(torchs), lr: 2e-3);
        Parameter[] addedToOurs = Models.Parameters(9, [4, 4]);
        Parameter[] addedToTorchs = Models.Parameters(9, [4, 4]);
        for (int step = 0; step < 20; step++)
        {
            if (step == 7)
            {
                a.add_param_group(new TorchModules.AdamW.ParamGroup(addedToOurs, lr: 0.1));
                b.add_param_group(new TorchModules.AdamW.ParamGroup(addedToTorchs, lr: 0.1));
            }

            Models.SetGradients(step, [.. ours, .. addedToOurs], [.. torchs, .. addedToTorchs]);
            a.step();
            b.step();
        }

        Assert.InRange(Models.RelativeDifference([.. ours, .. addedToOurs], [.. torchs, .. addedToTorchs]), 0, 1e-6);
        Assert.Equal(b.parameters().Count(), a.parameters().Count());

        static TorchModules.AdamW.ParamGroup[] Groups(Parameter[] all) =>
        [
            new() { Parameters = all[..2] },
            new(all[2..], lr: 1e-4, beta1: 0.5, weight_decay: 0.3),
        ];
    }

    [TorchTheory]
    [InlineData(20)]
    [InlineData(300)]
    public void There_may_be_any_number_of_groups(int count)
    {
        long[][] shapes = [.. Enumerable.Repeat<long[]>([3], count)];
        Parameter[] ours = Models.Parameters(3, shapes);
        Parameter[] torchs = Models.Parameters(3, shapes);
        using var a = nativeopt.optim.Adam(Groups(ours));
        using var b = optim.Adam(Groups(torchs));
        for (int step = 0; step < 5; step++)
        {
            Models.SetGradients(step, ours, torchs);
            a.step();
            b.step();
        }

        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, 1e-6);

        static IEnumerable<TorchModules.Adam.ParamGroup> Groups(Parameter[] all) =>
            all.Select((p, i) => new TorchModules.Adam.ParamGroup([p], lr: 1e-3 * (1 + i), beta1: 0.9 - (1e-4 * i)));
    }

    [TorchFact]
    public void A_gradient_may_come_in_a_later_step()
    {
        Parameter[] ours = Models.Parameters(3, [8], [8]);
        Parameter[] torchs = Models.Parameters(3, [8], [8]);
        (optim.Optimizer a, optim.Optimizer b) = Make("Adam", ours, torchs);
        for (int step = 0; step < 10; step++)
        {
            int count = step < 4 ? 1 : 2;
            Models.SetGradients(step, ours[..count], torchs[..count]);
            a.step();
            b.step();
        }

        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, 1e-6);
        Assert.Equal(
            [10L, 6L],
            ((NativeOpt.TorchSharp.Modules.Adam)a).state_dict().State.Select(static state => ((TorchModules.Adam.State)state).step));
    }
}
