using NativeOpt;
using NativeOpt.TorchSharp;
using Xunit;
using static TorchSharp.torch;
using OptimizerHelper = TorchSharp.Modules.OptimizerHelper;
using Parameter = TorchSharp.Modules.Parameter;
using SgdState = TorchSharp.Modules.SGD.State;

namespace TorchSharpAdapter;

/// <summary>What state files hold, and which are refused.</summary>
public class FileTests
{
    private static readonly long[][] Shapes = [[33, 7], [5]];

    [TorchTheory]
    [InlineData("own file")]
    [InlineData("TorchSharp's file")]
    [InlineData("dictionary")]
    public void Dampening_counts_in_the_step_after_loading(string from)
    {
        Parameter[] parameters = Models.Parameters(3, [4]), others = Models.Parameters(3, [4]), torchs = Models.Parameters(3, [4]);
        using var stopped = nativeopt.optim.SGD(parameters, 1, 0.9, 0.9);
        using var expected = optim.SGD(torchs, 1, 0.9, 0.9);
        Models.SetGradients(1, parameters, torchs);
        stopped.step();
        expected.step();
        using var resumed = nativeopt.optim.SGD(others, 1, 0.9, 0.9);
        switch (from)
        {
            case "own file":
                resumed.load_state_dict(new BinaryReader(Models.Save(stopped.save_state_dict)));
                break;
            case "TorchSharp's file":
                resumed.load_state_dict(new BinaryReader(Models.Save(expected.save_state_dict)));
                break;
            default:
                resumed.load_state_dict(expected.state_dict());
                break;
        }

        using (no_grad())
        {
            others[0].copy_(torchs[0]);
        }

        Models.SetGradients(2, others, torchs);
        resumed.step();
        expected.step();
        Assert.InRange(Models.RelativeDifference(others, torchs), 0, 1e-6);
    }

    [TorchFact]
    public void Every_rule_goes_on_from_its_file_while_a_schedule_moves_the_betas()
    {
        foreach (Rule rule in Rule.All.Where(static rule => rule.Name != "swats")) // which is refused
        {
            Parameter[] parameters = Models.Parameters(3, Shapes), others = Models.Parameters(3, Shapes);
            using var through = nativeopt.optim.Rule(rule.Name, parameters);
            using var stopped = nativeopt.optim.Rule(rule.Name, others);
            bool hasMomentum = rule.Hyperparameters.Any(static own => own.Name is "beta1" or "momentum");
            var first = optim.lr_scheduler.OneCycleLR(through, 1e-2, total_steps: 40, cycle_momentum: hasMomentum);
            var second = optim.lr_scheduler.OneCycleLR(stopped, 1e-2, total_steps: 40, cycle_momentum: hasMomentum);
            for (int step = 0; step < 30; step++)
            {
                if (step == 15)
                {
                    stopped.load_state_dict(new BinaryReader(Models.Save(stopped.save_state_dict)));
                }

                Models.SetGradients(step, parameters, others);
                through.step();
                stopped.step();
                first.step();
                second.step();
            }

            Assert.All(parameters.Zip(others), static pair => Assert.Equal(Models.Values(pair.First), Models.Values(pair.Second)));
        }
    }

    [TorchFact]
    public void Saving_that_fails_leaves_the_file_that_was_there()
    {
        string folder = Directory.CreateTempSubdirectory("nativeopt-").FullName;
        try
        {
            Parameter[] parameters = Models.Parameters(3, Shapes);
            using var optimizer = nativeopt.optim.SGD(parameters, 0.1, 0.9);
            Step(0, 2, (optimizer, parameters));
            string path = Path.Combine(folder, "optimizer");
            optimizer.save_state_dict(path);
            byte[] before = File.ReadAllBytes(path);
            using MemoryStream stream = Models.Save(optimizer.save_state_dict);
            Assert.Equal(stream.ToArray(), before);

            parameters[0].Dispose();
            Assert.Throws<InvalidOperationException>(() => optimizer.save_state_dict(path));
            Assert.Equal(before, File.ReadAllBytes(path));
            Assert.Single(Directory.GetFiles(folder));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [TorchFact]
    public void Files_of_SGD_that_maximizes_have_TorchSharps_sign()
    {
        Parameter[] ours = Models.Parameters(3, Shapes), torchs = Models.Parameters(3, Shapes);
        Parameter[] fromOurs = Models.Parameters(3, Shapes), fromTorchs = Models.Parameters(3, Shapes);
        using var a = nativeopt.optim.SGD(ours, 0.1, 0.9, maximize: true);
        using var b = optim.SGD(torchs, 0.1, 0.9, maximize: true);
        Step(0, 7, (a, ours), (b, torchs));

        // Each goes on from the other's file, and in between the optimizers that wrote them go on as if they had not.
        using var torchsFromOurs = optim.SGD(fromOurs, 0.1, 0.9, maximize: true);
        using var oursFromTorchs = nativeopt.optim.SGD(fromTorchs, 0.1, 0.9, maximize: true);
        torchsFromOurs.load_state_dict(new BinaryReader(Models.Save(a.save_state_dict)));
        oursFromTorchs.load_state_dict(new BinaryReader(Models.Save(b.save_state_dict)));
        Models.Copy(ours, fromOurs);
        Models.Copy(torchs, fromTorchs);
        Step(7, 5, (a, ours), (b, torchs), (torchsFromOurs, fromOurs), (oursFromTorchs, fromTorchs));
        Assert.InRange(Models.RelativeDifference(fromOurs, torchs), 0, 1e-6);
        Assert.InRange(Models.RelativeDifference(fromTorchs, torchs), 0, 1e-6);
        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, 1e-6);

        // What is loaded counts, its maximize included, and not what was there.
        Parameter[] last = Models.Parameters(4, Shapes);
        using var descending = nativeopt.optim.SGD(last, 0.2, 0.5);
        Step(3, 2, (descending, last));
        descending.load_state_dict(new BinaryReader(Models.Save(a.save_state_dict)));
        Models.Copy(ours, last);
        Step(12, 3, (a, ours), (descending, last));
        Assert.Equal(Models.Values(ours[0]), Models.Values(last[0]));
    }

    [TorchFact]
    public void A_dictionary_of_SGD_that_maximizes_is_taken_from_TorchSharp_and_refused_to_it()
    {
        Parameter[] ours = Models.Parameters(3, Shapes), torchs = Models.Parameters(3, Shapes);
        using var a = nativeopt.optim.SGD(ours, 0.1, 0.9, maximize: true);
        using var b = optim.SGD(torchs, 0.1, 0.9, maximize: true);
        Step(0, 4, (b, torchs));
        a.load_state_dict(b.state_dict());
        Models.Copy(torchs, ours);
        Step(4, 3, (a, ours), (b, torchs));
        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, 1e-6);

        float[] before = Models.Values(ours[0]);
        OptimizerHelper asHelper = a;
        Action[] refused =
        [
            () => a.state_dict(), () => Models.Save(asHelper.save_state_dict),
            () => asHelper.load_state_dict(new BinaryReader(Models.Save(b.save_state_dict))),
        ];
        Assert.All(
            refused,
            static act => Assert.Contains("maximize", Assert.Throws<InvalidOperationException>(act).Message, StringComparison.Ordinal));
        Assert.Equal(before, Models.Values(ours[0]));

        using var plain = nativeopt.optim.SGD(Models.Parameters(3, Shapes), 0.1, maximize: true);
        Assert.All(plain.state_dict().State, static state => Assert.Null(((SgdState)state).momentum_buffer));
    }

    [TorchFact]
    public void A_dimers_file_is_that_of_its_optimizer()
    {
        Parameter[] parameters = Models.Parameters(3, [6]), others = Models.Parameters(3, [6]);
        using var inner = nativeopt.optim.AdamW(parameters);
        using var dimer = nativeopt.optim.Dimer(inner);
        using var adamW = nativeopt.optim.AdamW(others, lr: 7);
        using var sgd = nativeopt.optim.SGD(others, 0.1, 0.9);
        using var other = nativeopt.optim.Dimer(sgd);
        dimer.step(() =>
        {
            dimer.zero_grad();
            Tensor loss = parameters[0].pow(4).sum();
            loss.backward();
            return loss;
        })!.Dispose();
        Assert.Equal(Models.Save(inner.save_state_dict).ToArray(), Models.Save(dimer.save_state_dict).ToArray());

        string path = Path.GetTempFileName();
        try
        {
            dimer.save_state_dict(path);
            adamW.load_state_dict(path);
            dimer.load_state_dict(path);
        }
        finally
        {
            File.Delete(path);
        }

        Assert.Equal(1e-3, adamW.ParamGroups.First().LearningRate);
        Assert.True(inner.state_dict().State[0].ApproximatelyEquals(adamW.state_dict().State[0]));
        Assert.Throws<InvalidDataException>(() => other.load_state_dict(new BinaryReader(Models.Save(dimer.save_state_dict))));
    }

    [TorchFact]
    public void A_file_of_another_rule_changes_nothing()
    {
        using var other = nativeopt.optim.Rule("adam", Models.Parameters(3, Shapes), new FusedOptions { LearningRate = 7 });
        using var optimizer = nativeopt.optim.Rule("invadam", Models.Parameters(3, Shapes));
        string message = Assert.Throws<InvalidDataException>(
            () => optimizer.load_state_dict(new BinaryReader(Models.Save(other.save_state_dict)))).Message;
        Assert.Contains("\"adam\"", message, StringComparison.Ordinal);
        Assert.Contains("\"invadam\"", message, StringComparison.Ordinal);
        Assert.NotEqual(7, optimizer.ParamGroups.First().LearningRate);
    }

    [TorchFact]
    public void A_state_of_another_shape_is_not_read()
    {
        Parameter[] parameters = Models.Parameters(3, [4, 2]), others = Models.Parameters(3, [2, 4]);
        using var optimizer = nativeopt.optim.DualAdam(parameters);
        using var other = nativeopt.optim.DualAdam(others);
        Step(0, 3, (optimizer, parameters));
        Step(0, 2, (other, others));
        FusedState state = (FusedState)optimizer.state_dict().State[0];
        float[] before = Models.Values(state.GetTensor(0)!);
        using MemoryStream file = Models.Save(other.save_state_dict);
        string message = Assert.Throws<InvalidDataException>(() => optimizer.load_state_dict(new BinaryReader(file))).Message;
        Assert.Contains("[2, 4]", message, StringComparison.Ordinal);

        // Nor is one that ends too early.
        byte[] all = Models.Save(optimizer.save_state_dict).ToArray();
        using MemoryStream part = new(all[..^3]);
        Assert.ThrowsAny<Exception>(() => optimizer.load_state_dict(new BinaryReader(part)));
        Assert.Equal(before, Models.Values(state.GetTensor(0)!));
        Assert.Equal(3, state.StepCount);
        Step(3, 1, (optimizer, parameters));
        Assert.Equal(4, state.StepCount);
    }

    private static void Step(long seed, int count, params (optim.Optimizer Optimizer, Parameter[] Parameters)[] all)
    {
        for (int step = 0; step < count; step++)
        {
            Models.SetGradients(seed + step, [.. all.Select(static one => one.Parameters)]);
            foreach ((optim.Optimizer optimizer, _) in all)
            {
                optimizer.step();
            }
        }
    }
}
