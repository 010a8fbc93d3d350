using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// Numbers that torch's optimizers keep for each parameter beside the step. Here they follow from the step count and the
/// options, so that they are written for torch and not read back.
/// </summary>
internal static class TorchScalars
{
    private const string MuProduct = "mu_product", Eta = "eta", Mu = "mu";

    /// <summary>Torch's names of those of a rule.</summary>
    public static IReadOnlyList<string> Names(Rule rule) => rule.Name switch
    {
        "nadam" => [MuProduct],
        "asgd" => [Eta, Mu],
        _ => [],
    };

    /// <summary>Throws for a rule of which the step count does not say everything, and torch has no names.</summary>
    public static void RequireNames(Rule rule)
    {
        if (rule.Name == Swats.Name)
        {
            throw new NotSupportedException(
                "Torch has no names for lambda, sgd and sgd_lr of the rule \"swats\", without which it would begin anew with Adam. Use "
                + "the optimizer's own Save and Load.");
        }
    }

    /// <summary>What torch keeps of a tensor that has come so far.</summary>
    public static double Value(Optimizer optimizer, int tensor, nopt_step_state state, string name)
    {
        // The running scalar "eta" knows no tensor's factor of the learning rate.
        return name switch
        {
            Eta => Of("lr") / Math.Pow(1 + (Of("lambd") * Of("lr") * state.step), Of("alpha")),
            _ => state.running[optimizer.Rule.GetRunningScalar(name).Index],
        };

        double Of(string hyperparameter) =>
            optimizer.HyperparameterOf(tensor, optimizer.Rule.GetHyperparameter(hyperparameter));
    }
}
