namespace NativeOpt.Cli.Replay;

/// <summary>Makes the optimizer that a trace describes. Options that a file leaves out have torch's defaults.</summary>
internal static class TraceOptimizerFactory
{
    private static readonly string[] Rules = ["adam", "adamw", "invadam", "dualadam", "sgd"];

    /// <summary>Makes the optimizer, or says what of it NativeOpt cannot do.</summary>
    /// <exception cref="UnsupportedTraceException">The rule is not NativeOpt's, or an option is not the rule's.</exception>
    /// <exception cref="TraceFormatException">An option is out of range.</exception>
    public static Optimizer Create(TraceOptimizer trace, ParameterSet parameters)
    {
        RequireSupported(trace);
        try
        {
            return CreateSupported(trace, parameters);
        }
        catch (ArgumentException error)
        {
            throw new TraceFormatException($"optimizer: {error.Message}");
        }
    }

    /// <summary>Throws what <see cref="Create"/> would throw for a rule or an option that cannot be done.</summary>
    public static void RequireSupported(TraceOptimizer trace)
    {
        string rule = trace.Rule;
        if (!Rules.Contains(rule))
        {
            throw new UnsupportedTraceException($"the rule {rule} is none of {string.Join(", ", Rules)}");
        }

        // An option that a rule does not have may be present as long as it says nothing. The switching rate always
        // may: it is a number of DualAdam alone, and no value of it changes another rule.
        bool isSgd = rule == "sgd";
        bool hasInversePart = rule is "invadam" or "dualadam";
        Refuse("betas", isSgd && trace.Betas is not null);
        Refuse("eps", isSgd && trace.Epsilon is not null);
        Refuse("amsgrad", isSgd && trace.Amsgrad is true);
        Refuse("inverse_eps", !hasInversePart && trace.InverseEpsilon is true);
        Refuse("momentum", !isSgd && trace.Momentum is > 0);
        Refuse("nesterov", !isSgd && trace.Nesterov is true);
        Refuse("dampening", trace.Dampening is not (null or 0));
        Refuse("momentum_decay", trace.MomentumDecay is not null);
        Refuse("decoupled: false", rule == "adamw" && trace.Decoupled is false);

        void Refuse(string option, bool isRefused)
        {
            if (isRefused)
            {
                throw new UnsupportedTraceException($"the rule {rule} has no option {option}");
            }
        }
    }

    private static Optimizer CreateSupported(TraceOptimizer trace, ParameterSet parameters)
    {
        double weightDecay = trace.WeightDecay ?? (trace.Rule == "adamw" ? 0.01 : 0);
        switch (trace.Rule)
        {
            case "adam":
                return new Adam(parameters, WithBetas(new AdamOptions
                {
                    DecoupledWeightDecay = trace.Decoupled ?? false,
                }));
            case "adamw":
                return new AdamW(parameters, WithBetas(new AdamWOptions()));
            case "invadam":
                return new InvAdam(parameters, WithBetas(new InvAdamOptions
                {
                    DecoupledWeightDecay = trace.Decoupled ?? false,
                    InverseEpsilon = trace.InverseEpsilon ?? false,
                }));
            case "dualadam":
                DualAdamOptions dual = WithBetas(new DualAdamOptions
                {
                    DecoupledWeightDecay = trace.Decoupled ?? false,
                    InverseEpsilon = trace.InverseEpsilon ?? false,
                });
                return new DualAdam(
                    parameters, dual with { SwitchingRate = trace.SwitchingRate ?? dual.SwitchingRate });
            default:
                return new Sgd(parameters, WithCommon(new SgdOptions
                {
                    Momentum = trace.Momentum ?? 0,
                    Nesterov = trace.Nesterov ?? false,
                    DecoupledWeightDecay = trace.Decoupled ?? false,
                }));
        }

        T WithCommon<T>(T options)
            where T : OptimizerOptions => options with
            {
                LearningRate = trace.LearningRate,
                WeightDecay = weightDecay,
                Maximize = trace.Maximize ?? false,
            };

        T WithBetas<T>(T options)
            where T : AdamFamilyOptions => WithCommon(options) with
            {
                Beta1 = trace.Betas?.Beta1 ?? 0.9,
                Beta2 = trace.Betas?.Beta2 ?? 0.999,
                Epsilon = trace.Epsilon ?? 1e-8,
                Amsgrad = trace.Amsgrad ?? false,
            };
    }
}
