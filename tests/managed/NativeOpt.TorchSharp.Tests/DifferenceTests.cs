using NativeOpt.TorchSharp;
using Xunit;
using static TorchSharp.torch;
using Parameter = TorchSharp.Modules.Parameter;
using TorchModules = TorchSharp.Modules;

namespace TorchSharpAdapter;

/// <summary>Where optimizers or their states differ from TorchSharp's own, and what states beyond tensors and counts are.</summary>
public class DifferenceTests
{
    [TorchFact]
    public void RAdam_multiplies_by_the_rate_once_and_TorchSharps_twice()
    {
        const double Rate = 2e-3, Beta1 = 0.9, Beta2 = 0.999, Epsilon = 1e-8;
        Parameter[] ours = Models.Parameters(3, [1000]), torchs = Models.Parameters(3, [1000]);
        double[] once = [.. Models.Values(ours[0]).Select(static x => (double)x)], twice = [.. once];
        double[] m = new double[1000], v = new double[1000];
        using var a = nativeopt.optim.RAdam(ours);
        using var b = optim.RAdam(torchs);
        for (int step = 1; step <= 200; step++)
        {
            Models.SetGradients(step, ours, torchs);
            using Tensor gradient = ours[0].grad!;
            float[] g = Models.Values(gradient);
            double correction1 = 1 - Math.Pow(Beta1, step), correction2 = 1 - Math.Pow(Beta2, step);
            double longest = (2 / (1 - Beta2)) - 1, length = longest - (2 * step * Math.Pow(Beta2, step) / correction2);
            bool isRectified = length > 5;
            double r = Math.Sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
            for (int i = 0; i < g.Length; i++)
            {
                m[i] = (Beta1 * m[i]) + ((1 - Beta1) * g[i]);
                v[i] = (Beta2 * v[i]) + ((1 - Beta2) * g[i] * g[i]);
                double update = Rate * m[i] / correction1 * (isRectified ? r * Math.Sqrt(correction2) / (Math.Sqrt(v[i]) + Epsilon) : 1);
                once[i] -= update;
                twice[i] -= isRectified ? Rate * update : update;
            }

            a.step();
            b.step();
        }

        Assert.InRange(Error(ours[0], once), 0, 1e-6);
        Assert.InRange(Error(torchs[0], twice), 0, 1e-6);
        double error = Error(torchs[0], once);
        Assert.True(error > 1e-3, $"TorchSharp's RAdam is that of the paper by now: it is {error} off.");
    }

    [TorchFact]
    public void ASGD_is_nearer_to_float64_than_TorchSharps()
    {
        const double Rate = 0.01, Lambd = 1e-4, Alpha = 0.75;
        Parameter[] ours = Models.Parameters(3, [1000]), torchs = Models.Parameters(3, [1000]);
        double[] exact = [.. Models.Values(ours[0]).Select(static x => (double)x)];
        using var a = nativeopt.optim.ASGD(ours, Rate);
        using var b = optim.ASGD(torchs, Rate);
        for (int step = 1; step <= 200; step++)
        {
            Models.SetGradients(step, ours, torchs);
            using Tensor gradient = ours[0].grad!;
            float[] g = Models.Values(gradient);
            double eta = Rate / Math.Pow(1 + (Lambd * Rate * (step - 1)), Alpha);
            for (int i = 0; i < g.Length; i++)
            {
                exact[i] = (exact[i] * (1 - (Lambd * eta))) - (eta * g[i]);
            }

            a.step();
            b.step();
        }

        double own = Error(ours[0], exact), torch = Error(torchs[0], exact);
        Assert.InRange(own, 0, 1e-6);
        Assert.True(own < torch, $"Ours is off by {own}, TorchSharp's by {torch}.");
    }

    [TorchFact]
    public void NAdam_keeps_the_mu_product_of_every_parameter_as_TorchSharp_does()
    {
        long[][] shapes = [[33, 7], [5], [4]];
        Parameter[] ours = Models.Parameters(3, shapes), torchs = Models.Parameters(3, shapes);
        using var a = nativeopt.optim.NAdam(ours);
        using var b = optim.NAdam(torchs);
        Assert.Equal([1, 1, 1], Products(a));
        var first = optim.lr_scheduler.OneCycleLR(a, 1e-2, total_steps: 40);
        var second = optim.lr_scheduler.OneCycleLR(b, 1e-2, total_steps: 40);
        for (int step = 0; step < 12; step++)
        {
            // The second parameter begins later, and the third one not at all.
            int count = step < 5 ? 1 : 2;
            Models.SetGradients(step, ours[..count], torchs[..count]);
            a.step();
            b.step();
            first.step();
            second.step();
        }

        Assert.All(Products(b).Zip(Products(a)), static pair => Assert.InRange(pair.Second / pair.First, 1 - 1e-12, 1 + 1e-12));
        Assert.NotEqual(Products(a)[0], Products(a)[1]);
        Assert.Equal(1, Products(a)[2]);

        // A file of each goes on in the other class, whatever product that one had.
        Parameter[] fromOurs = Models.Parameters(3, shapes), fromTorchs = Models.Parameters(3, shapes);
        using var torchsFromOurs = optim.NAdam(fromOurs);
        using var oursFromTorchs = nativeopt.optim.NAdam(fromTorchs);
        Models.SetGradients(99, fromOurs, fromTorchs);
        torchsFromOurs.step();
        oursFromTorchs.step();
        torchsFromOurs.load_state_dict(new BinaryReader(Models.Save(a.save_state_dict)));
        oursFromTorchs.load_state_dict(new BinaryReader(Models.Save(b.save_state_dict)));
        Assert.Equal(Products(a), Products(torchsFromOurs));
        Assert.Equal(Products(b), Products(oursFromTorchs));
        Models.Copy(torchs, fromOurs);
        Models.Copy(torchs, fromTorchs);
        for (int step = 12; step < 15; step++)
        {
            Models.SetGradients(step, torchs, fromOurs, fromTorchs);
            b.step();
            torchsFromOurs.step();
            oursFromTorchs.step();
        }

        Assert.InRange(Models.RelativeDifference(fromOurs, torchs), 0, 1e-6);
        Assert.InRange(Models.RelativeDifference(fromTorchs, torchs), 0, 1e-6);
        Assert.All(Products(b).Zip(Products(oursFromTorchs)), static pair => Assert.Equal(pair.First, pair.Second, 1e-12));

        static double[] Products(TorchModules.OptimizerHelper optimizer) =>
            [.. optimizer.state_dict().State.Select(static state => ((TorchModules.NAdam.State)state).mu_product)];
    }

    [TorchFact]
    public void An_impossible_mu_product_is_refused()
    {
        Parameter[] parameters = Models.Parameters(3, [5]);
        using var optimizer = nativeopt.optim.NAdam(parameters);
        Models.SetGradients(1, parameters);
        optimizer.step();
        ((TorchModules.NAdam.State)optimizer.state_dict().State[0]).mu_product = 7;
        float[] before = Models.Values(parameters[0]);
        string message = Assert.Throws<ArgumentException>(() => optimizer.step()).Message;
        Assert.Contains("mu_product", message, StringComparison.Ordinal);
        Assert.Equal(before, Models.Values(parameters[0]));
        ((TorchModules.NAdam.State)optimizer.state_dict().State[0]).mu_product = 0.5;
        optimizer.step();
        Assert.Equal(2, ((TorchModules.NAdam.State)optimizer.state_dict().State[0]).step);
    }

    [TorchFact]
    public void States_of_ASGD_are_those_of_TorchSharp()
    {
        Parameter[] ours = Models.Parameters(3, [33, 7], [5]), torchs = Models.Parameters(3, [33, 7], [5]);
        using var a = nativeopt.optim.ASGD(ours, 0.01, t0: 5);
        using var b = optim.ASGD(torchs, 0.01, t0: 5);
        for (int step = 0; step < 20; step++)
        {
            Assert.All(
                a.state_dict().State.Zip(b.state_dict().State),
                static pair => Assert.Equal(Scalars(pair.Second), Scalars(pair.First)));
            Models.SetGradients(step, ours, torchs);
            a.step();
            b.step();
        }

        Assert.InRange(Models.RelativeDifference(Averages(a), Averages(b)), 0, 1e-6);
        Assert.True(Models.RelativeDifference(Averages(a), ours) > 1e-3, "The averages are the parameters themselves.");

        static (long, double, double) Scalars(TorchModules.OptimizerState state)
        {
            TorchModules.ASGD.State own = (TorchModules.ASGD.State)state;
            return (own.step, own.eta, own.mu);
        }

        static IEnumerable<Tensor> Averages(TorchModules.OptimizerHelper optimizer) =>
            optimizer.state_dict().State.Select(static state => ((TorchModules.ASGD.State)state).ax);
    }

    [TorchFact]
    public void States_of_RMSProp_are_those_that_its_options_need()
    {
        Parameter[] parameters = Models.Parameters(3, [5]), others = Models.Parameters(3, [5]);
        using var plain = nativeopt.optim.RMSProp(parameters);
        TorchModules.RMSProp.State state = (TorchModules.RMSProp.State)plain.state_dict().State[0];
        Assert.Null(state.momentum_buffer);
        Assert.Null(state.grad_avg);

        // TorchSharp's class reads dictionaries in which all of them are; files it reads in any case.
        using var all = nativeopt.optim.RMSProp(parameters, momentum: 0.9, centered: true);
        using var torchs = optim.RMSProp(others, momentum: 0.9, centered: true);
        Models.SetGradients(1, parameters);
        all.step();
        torchs.load_state_dict(all.state_dict());
        Models.Copy(parameters, others);
        Models.SetGradients(2, parameters, others);
        all.step();
        torchs.step();
        Assert.InRange(Models.RelativeDifference(parameters, others), 0, 1e-6);
    }

    [TorchFact]
    public void Steps_of_Adadelta_count()
    {
        Parameter[] ours = Models.Parameters(3, [5]), torchs = Models.Parameters(3, [5]);
        using var a = nativeopt.optim.Adadelta(ours);
        using var b = optim.Adadelta(torchs);
        for (int step = 0; step < 3; step++)
        {
            Models.SetGradients(step, ours, torchs);
            a.step();
            b.step();
        }

        Assert.Equal(3, ((TorchModules.Adadelta.State)a.state_dict().State[0]).step);
        Assert.Equal(0, ((TorchModules.Adadelta.State)b.state_dict().State[0]).step);
    }

    [TorchTheory]
    [InlineData("Adagrad")]
    [InlineData("ASGD")]
    [InlineData("RMSProp")]
    public void States_that_need_float32_have_it_in_bfloat16_modules(string name)
    {
        Parameter[] ours = Half(), torchs = Half(), singles = [.. Half().Select(static p => nn.Parameter(p.detach().@float()))];
        (optim.Optimizer Ours, optim.Optimizer Torchs) pair = Make(name, ours, torchs);
        optim.Optimizer single = Make(name, [], singles).Torchs;
        TorchModules.OptimizerHelper helper = (TorchModules.OptimizerHelper)pair.Ours;
        for (int step = 0; step < 10; step++)
        {
            Models.SetGradients(step, singles);
            for (int i = 0; i < ours.Length; i++)
            {
                using Tensor gradient = singles[i].grad!;
                ours[i].grad = gradient.bfloat16();
                torchs[i].grad = gradient.bfloat16();
            }

            pair.Ours.step();
            pair.Torchs.step();
            single.step();
        }

        Assert.InRange(Models.RelativeDifference(ours, singles), 0, 2e-2);
        Assert.Equal(ScalarType.Float32, State(helper).dtype);

        // TorchSharp's are bfloat16, and become float32 when they are loaded.
        Assert.Equal(ScalarType.BFloat16, State((TorchModules.OptimizerHelper)pair.Torchs).dtype);
        helper.load_state_dict(((TorchModules.OptimizerHelper)pair.Torchs).state_dict());
        pair.Ours.step();
        Assert.Equal(ScalarType.Float32, State(helper).dtype);

        static Parameter[] Half() => [.. Models.Parameters(3, [33, 7], [5]).Select(static p => nn.Parameter(p.detach().bfloat16()))];

        static Tensor State(TorchModules.OptimizerHelper optimizer) => optimizer.state_dict().State[0] switch
        {
            TorchModules.Adagrad.State own => own.sum,
            TorchModules.ASGD.State own => own.ax,
            TorchModules.RMSProp.State own => own.grad_avg,
            _ => throw new InvalidOperationException("There is no such state."),
        };

        static (optim.Optimizer Ours, optim.Optimizer Torchs) Make(string name, Parameter[] ours, Parameter[] torchs) => name switch
        {
            "Adagrad" => (nativeopt.optim.Adagrad(ours), optim.Adagrad(torchs)),
            "ASGD" => (nativeopt.optim.ASGD(ours, 0.01, t0: 2), optim.ASGD(torchs, 0.01, t0: 2)),
            "RMSProp" => (nativeopt.optim.RMSProp(ours, centered: true), optim.RMSProp(torchs, centered: true)),
            _ => throw new ArgumentOutOfRangeException(nameof(name)),
        };
    }

    [TorchFact]
    public void A_step_count_that_is_set_sets_the_running_scalars_of_an_own_rule()
    {
        Parameter[] parameters = Models.Parameters(3, [5]), others = Models.Parameters(3, [5]);
        using var optimizer = nativeopt.optim.Rule("nadam", parameters);
        using var other = nativeopt.optim.Rule("nadam", others);
        Models.SetGradients(1, parameters, others);
        optimizer.step();
        other.step();
        Models.Copy(parameters, others);
        foreach (NativeOpt.TorchSharp.Modules.RuleOptimizer one in (NativeOpt.TorchSharp.Modules.RuleOptimizer[])[optimizer, other])
        {
            FusedState state = (FusedState)one.state_dict().State[0];
            state.StepCount = 40;
            Assert.Equal(40, state.StepCount);
        }

        // It is the same as in a file, where the scalars are numbers.
        other.load_state_dict(new BinaryReader(Models.Save(optimizer.save_state_dict)));
        Models.SetGradients(2, parameters, others);
        optimizer.step();
        other.step();
        Assert.Equal(Models.Values(parameters[0]), Models.Values(others[0]));
        Assert.Equal(41, ((FusedState)other.state_dict().State[0]).StepCount);
    }

    private static double Error(Tensor parameter, double[] exact)
    {
        double norm = Math.Sqrt(exact.Sum(static x => x * x));
        return Math.Sqrt(Models.Values(parameter).Zip(exact).Sum(static pair => Math.Pow(pair.First - pair.Second, 2))) / norm;
    }
}
