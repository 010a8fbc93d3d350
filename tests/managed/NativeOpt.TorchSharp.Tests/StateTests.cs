using NativeOpt.TorchSharp;
using TorchSharp.Modules;
using Xunit;
using static TorchSharp.torch;

namespace TorchSharpAdapter;

/// <summary>State dictionaries and files, in both directions with TorchSharp's optimizers.</summary>
public class StateTests
{
    private static readonly long[][] Shapes = [[33, 7], [5], [2, 3, 4]];

    public static TheoryData<string> Pairs =>
    [
        "Adam decay", "Adam amsgrad", "AdamW decay", "AdamW amsgrad maximize", "SGD", "SGD momentum", "SGD nesterov decay",
        "RAdam decay", "NAdam decay", "Adamax decay", "Adagrad decay", "Adadelta decay maximize", "RMSProp", "RMSProp momentum",
        "RMSProp centered decay", "RMSProp all", "Rprop limits maximize", "ASGD averages",
    ];

    [TorchTheory]
    [MemberData(nameof(Pairs))]
    public void Files_go_both_ways(string pair)
    {
        for (int direction = 0; direction < 2; direction++)
        {
            Parameter[] first = Models.Parameters(3, Shapes), second = Models.Parameters(3, Shapes);
            (OptimizerHelper a, OptimizerHelper b) = Order(OptimizerTests.Make(pair, first, second), direction);
            Parameter[] ofA = direction == 0 ? first : second, ofB = direction == 0 ? second : first;
            for (int step = 0; step < 7; step++)
            {
                Models.SetGradients(step, ofA);
                a.step();
            }

            // The other one has taken steps, too, which count no more.
            Models.SetGradients(99, ofB);
            b.step();
            using MemoryStream file = new();
            using BinaryWriter writer = new(file);
            a.save_state_dict(writer);
            writer.Flush();
            file.Position = 0;
            using BinaryReader reader = new(file);
            b.load_state_dict(reader);
            Models.Copy(ofA, ofB);
            RequireEqualSteps(a, b, ofA, ofB);
        }
    }

    [TorchTheory]
    [MemberData(nameof(Pairs))]
    public void Dictionaries_go_from_TorchSharp_to_ours(string pair)
    {
        Parameter[] ours = Models.Parameters(3, Shapes), torchs = Models.Parameters(3, Shapes);
        (OptimizerHelper b, OptimizerHelper a) = Order(OptimizerTests.Make(pair, ours, torchs), 0);
        for (int step = 0; step < 7; step++)
        {
            Models.SetGradients(step, torchs);
            a.step();
        }

        b.step();
        b.load_state_dict(a.state_dict());
        Models.Copy(torchs, ours);
        RequireEqualSteps(a, b, torchs, ours);
    }

    [TorchFact]
    public void Dictionaries_may_be_loaded_again_and_again()
    {
        // A new state may lie where an old one of another kind was freed.
        Parameter[] ours = Models.Parameters(3, Shapes), torchs = Models.Parameters(3, Shapes);
        using var a = nativeopt.optim.Adam(ours, amsgrad: true);
        using var b = optim.Adam(torchs, amsgrad: true);
        for (int step = 0; step < 50; step++)
        {
            Models.SetGradients(step, ours, torchs);
            a.step();
            b.step();
            a.load_state_dict(b.state_dict());
            Models.Copy(torchs, ours);
        }

        RequireEqualSteps(a, b, ours, torchs);
    }

    [TorchFact]
    public void Loaded_options_count_from_the_next_step_on()
    {
        Parameter[] ours = Models.Parameters(3, Shapes), torchs = Models.Parameters(3, Shapes);
        using var source = optim.SGD(torchs, 0.5, 0.9, nesterov: true);
        using var optimizer = nativeopt.optim.SGD(ours, 0.1);
        Models.SetGradients(1, ours, torchs);
        optimizer.step();
        source.step();
        optimizer.load_state_dict(source.state_dict());
        Models.Copy(torchs, ours);
        RequireEqualSteps(source, optimizer, torchs, ours);
        Assert.Equal(0.5, optimizer.ParamGroups.First().LearningRate);
    }

    [TorchFact]
    public void Flags_may_change_between_steps()
    {
        Parameter[] ours = Models.Parameters(3, Shapes), torchs = Models.Parameters(3, Shapes);
        using var a = nativeopt.optim.SGD(ours, 0.1, 0.9);
        using var b = optim.SGD(torchs, 0.1, 0.9);
        for (int step = 0; step < 8; step++)
        {
            foreach (OptimizerHelper optimizer in (OptimizerHelper[])[a, b])
            {
                ((SGD.Options)((ParamGroup)optimizer.ParamGroups.First()).Options).nesterov = step % 3 == 1;
            }

            Models.SetGradients(step, ours, torchs);
            a.step();
            b.step();
        }

        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, 1e-6);
    }

    [TorchFact]
    public void A_dictionary_that_does_not_fit_changes_nothing()
    {
        Parameter[] ours = Models.Parameters(3, Shapes), others = Models.Parameters(4, [2], [2], [2]);
        using var optimizer = nativeopt.optim.Adam(ours);
        using var other = optim.Adam(others, lr: 7);
        using var fewer = optim.Adam(others[..2], lr: 7);
        using var another = optim.AdamW(others, lr: 7);
        Models.SetGradients(1, ours);
        optimizer.step();
        float[] before = Models.Values(((Adam.State)optimizer.state_dict().State[0]).exp_avg);
        foreach (OptimizerHelper source in (OptimizerHelper[])[other, fewer, another])
        {
            Assert.Throws<ArgumentException>(() => optimizer.load_state_dict(source.state_dict()));
        }

        Assert.Equal(1e-3, optimizer.ParamGroups.First().LearningRate);
        Assert.Equal(before, Models.Values(((Adam.State)optimizer.state_dict().State[0]).exp_avg));
    }

    [TorchTheory]
    [InlineData("dualadam")]
    [InlineData("adan")]
    [InlineData("sophia")]
    [InlineData("lion")]
    [InlineData("miadam")]
    [InlineData("ademamix")]
    [InlineData("adopt")]
    public void Rules_that_TorchSharp_lacks_have_files_too(string rule)
    {
        Parameter[] ours = Models.Parameters(3, Shapes), others = Models.Parameters(3, Shapes);
        using var a = nativeopt.optim.Rule(rule, ours, new FusedOptions { ["lr"] = 0.01, ["beta1"] = 0.7 });
        using var b = nativeopt.optim.Rule(rule, others);
        for (int step = 0; step < 7; step++)
        {
            Models.SetGradients(step, ours);
            a.step();
        }

        string path = Path.GetTempFileName();
        try
        {
            a.save_state_dict(path);
            b.load_state_dict(path);
        }
        finally
        {
            File.Delete(path);
        }

        Models.Copy(ours, others);
        RequireEqualSteps(a, b, ours, others);
        Assert.Equal([8L, 8L, 8L], b.state_dict().State.Select(static state => ((FusedState)state).StepCount));
        Assert.True(a.state_dict().State[0].ApproximatelyEquals(b.state_dict().State[0]));
        Assert.Equal(0.7, b.Betas.Item1 == 0.7 ? 0.7 : ((ParamGroup<FusedOptions>)b.ParamGroups.First()).Options["beta1"]);
    }

    [TorchFact]
    public void States_move_with_the_optimizers_to()
    {
        Parameter[] ours = Models.Parameters(3, Shapes), torchs = Models.Parameters(3, Shapes);
        using var a = nativeopt.optim.Adam(ours);
        using var b = optim.Adam(torchs);
        for (int step = 0; step < 6; step++)
        {
            Models.SetGradients(step, ours, torchs);
            a.step();
            b.step();
            a.to(CPU);
        }

        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, 1e-6);
    }

    [TorchFact]
    public void A_user_may_write_states_and_counts()
    {
        Parameter[] ours = Models.Parameters(3, Shapes), torchs = Models.Parameters(3, Shapes);
        using var a = nativeopt.optim.Adam(ours);
        using var b = optim.Adam(torchs);
        for (int step = 0; step < 10; step++)
        {
            Models.SetGradients(step, ours, torchs);
            a.step();
            b.step();
            if (step == 4)
            {
                foreach (OptimizerHelper optimizer in (OptimizerHelper[])[a, b])
                {
                    Adam.State state = (Adam.State)optimizer.state_dict().State[0];
                    state.step = 100;
                    using IDisposable scope = NewDisposeScope();
                    state.exp_avg = state.exp_avg.mul(0.5).DetachFromDisposeScope();
                }
            }
        }

        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, 1e-6);
        Assert.Equal(105, ((Adam.State)a.state_dict().State[0]).step);
    }

    private static (OptimizerHelper First, OptimizerHelper Second) Order(
        (optim.Optimizer Ours, optim.Optimizer Torchs) pair, int direction) =>
        direction == 0
            ? ((OptimizerHelper)pair.Ours, (OptimizerHelper)pair.Torchs)
            : ((OptimizerHelper)pair.Torchs, (OptimizerHelper)pair.Ours);

    /// <summary>The state is the same if the next step is.</summary>
    private static void RequireEqualSteps(OptimizerHelper a, OptimizerHelper b, Parameter[] ofA, Parameter[] ofB)
    {
        float[][] before = [.. ofA.Select(Models.Values)];
        Models.SetGradients(50, ofA, ofB);
        a.step();
        b.step();
        IEnumerable<Tensor> moved = ofA.Zip(before).Select(static pair => pair.First - tensor(pair.Second).reshape(pair.First.shape));
        IEnumerable<Tensor> expected = ofB.Zip(before).Select(static pair => pair.First - tensor(pair.Second).reshape(pair.First.shape));
        Assert.InRange(Models.RelativeDifference(moved, expected), 0, 1e-4);
    }
}
