using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>What TorchSharp's files call things, and which parameter groups they have; <see cref="TorchSharpState"/> has the format.</summary>
internal static class TorchSharpFormat
{
    public const string SgdName = "SGD";

    // TorchSharp's numbers of element types.
    public const long Float16Code = 5;
    public const long Float32Code = 6;
    public const long BFloat16Code = 15;

    /// <summary>TorchSharp's name of the optimizer.</summary>
    public static string NameOf(Optimizer optimizer)
    {
        bool isDecoupled = Have("decoupled_weight_decay") > 0;
        return optimizer.RuleName switch
        {
            "adam" when isDecoupled && Have("decoupled_weight_decay") < optimizer.Groups.Count =>
                throw new NotSupportedException(
                    "Some groups have decoupled weight decay and others have not; TorchSharp's optimizer is Adam or AdamW for all."),
            "adam" => isDecoupled ? "AdamW" : "Adam",
            "sgd" when Have("maximize") > 0 => throw new NotSupportedException(
                "TorchSharp's SGD with maximize keeps the momentum of the gradient, this library's that of its negative; one "
                + "cannot go on with the other's state."),
            "sgd" when isDecoupled => throw new NotSupportedException("TorchSharp's SGD has no decoupled weight decay."),
            "sgd" => SgdName,
            _ => throw new NotSupportedException(
                $"{nameof(TorchSharpState)} has the files of Adam, AdamW and SGD, and not of the rule \"{optimizer.RuleName}\"."),
        };

        int Have(string flag) => optimizer.Groups.Count(group => group.HasFlag(flag));
    }

    /// <summary>The parameter groups of the file: one for each run of tensors that have the same options.</summary>
    public static List<TorchSharpRun> RunsOf(Optimizer optimizer)
    {
        ParameterSet set = optimizer.ParameterSet;
        List<TorchSharpRun> runs = [];
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            TorchSharpRun own = new(
                set.GetGroup(tensor),
                Of(tensor, nopt_hyperparam.NOPT_HYPERPARAM_LR),
                Of(tensor, nopt_hyperparam.NOPT_HYPERPARAM_WEIGHT_DECAY));
            if (runs.Count == 0 || own != runs[^1])
            {
                runs.Add(own);
            }
        }

        // TorchSharp has a group even without parameters.
        return runs.Count > 0
            ? runs
            : [new TorchSharpRun(0, optimizer.Groups[0].LearningRate, optimizer.Groups[0].WeightDecay)];

        double Of(int tensor, nopt_hyperparam index) =>
            optimizer.HyperparameterOf(tensor, optimizer.Rule.Hyperparameters[(int)index]);
    }
}

/// <summary>Tensors that follow each other, of one of the optimizer's groups, with the same learning rate and weight decay.</summary>
internal readonly record struct TorchSharpRun(int Group, double LearningRate, double WeightDecay);
