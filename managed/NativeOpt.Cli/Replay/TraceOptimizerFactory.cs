using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Replay;

/// <summary>Makes the optimizer that a trace describes. Options that a file leaves out have the rule's defaults.</summary>
internal static class TraceOptimizerFactory
{
    /// <summary>Makes the optimizer, or says what of it NativeOpt cannot do.</summary>
    /// <exception cref="UnsupportedTraceException">An option is not the rule's.</exception>
    /// <exception cref="TraceFormatException">An option is out of range.</exception>
    public static Optimizer Create(TraceOptimizer trace, ParameterSet parameters)
    {
        RequireSupported(trace);
        try
        {
            return new RuleOptimizer(parameters, trace.Preset.Options);
        }
        catch (ArgumentException error)
        {
            throw new TraceFormatException($"optimizer: {error.Message}");
        }
    }

    /// <summary>Finds the rule of a trace.</summary>
    /// <exception cref="UnsupportedTraceException">The library has no such rule.</exception>
    public static OptimizerPreset Find(string rule) => OptimizerPresets.Find(rule)
        ?? throw new UnsupportedTraceException(
            rule, $"the rule {rule} is none of {string.Join(", ", OptimizerPresets.Names)}");

    /// <summary>Throws what <see cref="Create"/> would throw for an option that cannot be done.</summary>
    public static void RequireSupported(TraceOptimizer trace)
    {
        if (trace.Unsupported is { } option)
        {
            throw new UnsupportedTraceException(
                trace.Preset.Name, $"the rule {trace.Preset.Name} has no option {option}");
        }
    }
}
