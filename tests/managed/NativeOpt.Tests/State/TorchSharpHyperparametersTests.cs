using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.State;

/// <summary>Hyperparameters in TorchSharp's files that are not those of the optimizer that loads them.</summary>
public class TorchSharpHyperparametersTests
{
    private static readonly AdamOptions AdamHere = new();

    private static readonly SgdOptions SgdHere = new() { Momentum = 0.5 };

    public static TheoryData<string, string> Differences => new()
    {
        { "lr of parameter group 0 is 0.125 in the file, and LearningRate of group 0 is 0.001", "lr" },
        { "beta1 of parameter group 0 is 0.125 in the file, and Beta1 of group 0 is 0.9", "beta1" },
        { "beta2 of parameter group 0 is 0.125 in the file, and Beta2 of group 0 is 0.999", "beta2" },
        { "eps of parameter group 0 is 0.125 in the file, and Epsilon of group 0 is 1E-08", "eps" },
        { "weight_decay of parameter group 0 is 0.125 in the file, and WeightDecay of group 0 is 0", "weight_decay" },
        { "momentum of parameter group 0 is 0.125 in the file, and Momentum of group 0 is 0.5", "momentum" },
        { "nesterov of parameter group 0 is True in the file, and Nesterov of group 0 is False", "nesterov" },
    };

    [Theory]
    [MemberData(nameof(Differences))]
    public void A_difference_is_refused_taken_over_or_kept(string message, string name)
    {
        OptimizerOptions here = name is "momentum" or "nesterov" ? SgdHere : AdamHere;
        using Model model = new(2, 1);
        using Model other = new(2, 1);
        using Optimizer saved = Rules.Create(model.Set, here);
        using Optimizer loaded = Rules.Create(other.Set, here);
        if (name == "nesterov")
        {
            saved.SetFlag(name, true);
        }
        else
        {
            saved.Groups[0][name] = 0.125;
        }

        model.Step(saved, 1, 3);
        other.Step(loaded, 11, 13);
        byte[] file = Saved(saved);
        string refusal = Snapshot.Unchanged<InvalidDataException>(
            loaded, () => TorchSharpState.Load(loaded, new MemoryStream(file))).Message;
        Assert.Contains($"are not the optimizer's: {message}. Make the optimizer with", refusal, StringComparison.Ordinal);
        TorchSharpState.Load(loaded, new MemoryStream(file), SavedHyperparameters.Keep);
        Assert.NotEqual(Options(saved), Options(loaded));
        TorchSharpState.Load(loaded, new MemoryStream(file), SavedHyperparameters.TakeOver);
        Assert.Equal(Options(saved), Options(loaded));

        // What is the same now is no longer refused, and the steps are those of the optimizer that was saved.
        TorchSharpState.Load(loaded, new MemoryStream(file));
        model.Parameters.Zip(other.Parameters).ToList().ForEach(static pair => pair.First.CopyTo(pair.Second, 0));
        model.Step(saved, 4, 6);
        other.Step(loaded, 4, 6);
        Assert.Equal(Snapshot.Of(saved), Snapshot.Of(loaded));
    }

    /// <summary>TorchSharp's Adam has a beta2 of 0.99.</summary>
    [Fact]
    public void All_differences_are_listed()
    {
        using Model model = new(2);
        using Model other = new(2);
        using Adam saved = new(model.Set, new AdamOptions { LearningRate = 0.5, Beta2 = 0.99, Epsilon = 1e-6 });
        using Adam loaded = new(other.Set);
        Assert.Contains(
            "lr of parameter group 0 is 0.5 in the file, and LearningRate of group 0 is 0.001; beta2 of parameter group 0 is 0.99 in "
            + "the file, and Beta2 of group 0 is 0.999; eps of parameter group 0 is 1E-06 in the file, and Epsilon of group 0 is 1E-08. "
            + "Make the optimizer with those of the file, or say what is to become of them: with SavedHyperparameters.TakeOver",
            Snapshot.Unchanged<InvalidDataException>(
                loaded, () => TorchSharpState.Load(loaded, new MemoryStream(Saved(saved)))).Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(
            () => TorchSharpState.Load(loaded, new MemoryStream(Saved(saved)), (SavedHyperparameters)3));
    }

    /// <summary>A schedule has moved the learning rate, and the new run begins with the schedule's first one.</summary>
    [Fact]
    public void The_learning_rate_may_be_the_initial_one()
    {
        using Model model = new(2);
        using Model other = new(2);
        using Adam saved = new(model.Set, new AdamOptions { LearningRate = 0.25 });
        using Adam loaded = new(other.Set, new AdamOptions { LearningRate = 0.5 });
        byte[] file = Saved(saved);
        const int InitialLearningRate = 7;
        BitConverter.GetBytes(0.5).CopyTo(file, InitialLearningRate);
        TorchSharpState.Load(loaded, new MemoryStream(file));
        Assert.Equal(0.5, loaded.LearningRate);
        TorchSharpState.Load(loaded, new MemoryStream(file), SavedHyperparameters.TakeOver);
        Assert.Equal(0.25, loaded.LearningRate);
        loaded.SetCapturable(true);
        loaded.SetLearningRate(0.5);
        TorchSharpState.Load(loaded, new MemoryStream(file), SavedHyperparameters.TakeOver);
        loaded.SetCapturable(false);
        Assert.Equal(0.25, loaded.LearningRate);
    }

    [Fact]
    public void Each_group_takes_on_its_own()
    {
        TensorOptions[] tensors = [new(), new() { Group = 1 }];
        using Model model = new([1, 1], tensors);
        using Model other = new([1, 1], tensors);
        using Adam saved = new(model.Set, [new() { Beta2 = 0.5 }, new() { Beta1 = 0.25, WeightDecay = 0.125 }]);
        using Adam loaded = new(other.Set, [new(), new()]);
        byte[] file = Saved(saved);
        Assert.Contains(
            "beta2 of parameter group 0 is 0.5 in the file, and Beta2 of group 0 is 0.999; beta1 of parameter group 1 is 0.25 in the "
            + "file, and Beta1 of group 1 is 0.9; weight_decay of parameter group 1 is 0.125",
            Refused(loaded, file, SavedHyperparameters.MustMatch),
            StringComparison.Ordinal);
        TorchSharpState.Load(loaded, new MemoryStream(file), SavedHyperparameters.TakeOver);
        Assert.Equal(Options(saved), Options(loaded));
    }

    [Fact]
    public void What_cannot_be_taken_over_is_refused_with_the_reason()
    {
        using Model model = new([1, 1], [new() { WeightDecay = 0.5 }, new()]);
        using Adam saved = new(model.Set);
        byte[] twoGroups = Saved(saved);
        using Model plain = new(1, 1);
        using Adam one = new(plain.Set);
        Assert.Contains(
            "Parameter groups 0 and 1 of the file differ in weight_decay", Refused(one, twoGroups, SavedHyperparameters.TakeOver),
            StringComparison.Ordinal);
        Assert.Contains(
            "tensor 0 (\"0\") has a learning-rate scale or a weight decay of its own",
            Refused(saved, Saved(one), SavedHyperparameters.TakeOver), StringComparison.Ordinal);

        using Model withMomentum = new(1, 1);
        using Sgd sgd = new(withMomentum.Set, SgdHere);
        using Model without = new(1, 1);
        using Sgd still = new(without.Set);
        Assert.Contains(
            "momentum is 0 in the file, on which the state momentum_buffer depends. Make the optimizer with a Momentum of that",
            Refused(sgd, Saved(still), SavedHyperparameters.TakeOver), StringComparison.Ordinal);
        byte[] negative = Saved(sgd);
        const int Momentum = 6 + (2 * sizeof(double));
        BitConverter.GetBytes(-1.0).CopyTo(negative, Momentum);
        Assert.Contains(
            "momentum is -1 in the file; it must be ", Refused(sgd, negative, SavedHyperparameters.TakeOver),
            StringComparison.Ordinal);
    }

    private static string Options(Optimizer optimizer) => string.Join(
        ' ',
        optimizer.Groups.Select(group => string.Join(
            ' ',
            [
                .. optimizer.Rule.Hyperparameters.Select(own => group[own.Name].ToString("R")),
                .. optimizer.Rule.Flags.Select(flag => group.HasFlag(flag.Name).ToString()),
            ])));

    private static string Refused(Optimizer optimizer, byte[] file, SavedHyperparameters choice) =>
        Snapshot.Unchanged<InvalidDataException>(
            optimizer, () => TorchSharpState.Load(optimizer, new MemoryStream(file), choice)).Message;

    private static byte[] Saved(Optimizer optimizer)
    {
        using MemoryStream stream = new();
        TorchSharpState.Save(
            optimizer, stream, [.. optimizer.ParameterSet.ElementCounts.ToArray().Select(static count => new[] { count })]);
        return stream.ToArray();
    }
}
