using NativeOpt.Cli.Shapes;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>A row of the table: a rule over the tensors of a shape, in some precision, somewhere.</summary>
internal sealed record BenchCase(BenchRule Rule, ModelShape Shape)
{
    public Device Device { get; init; } = Device.Cpu;

    /// <summary>The threads of a step on the CPU, the calling one included; so many has the floor.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>The element type of parameters and gradients.</summary>
    public DType DType { get; init; } = DType.Float32;

    public DType StateType { get; init; } = DType.Float32;

    public MasterWeights MasterWeights { get; init; }

    /// <summary>Whether what is rounded to bfloat16 is rounded at random.</summary>
    public bool StochasticRounding { get; init; }

    /// <summary>Whether the loops of a .NET developer are timed beside it, where there are any.</summary>
    public bool WithPeers { get; init; } = true;

    public RuleOptions Options => Rule.Preset.Options with
    {
        StateType = StateType,
        MasterWeights = MasterWeights,
        StochasticRounding = StochasticRounding && RoundsParameters(DType, MasterWeights),
        StochasticRoundingStates = StochasticRounding && StateType == DType.BFloat16,
    };

    /// <summary>Whether a step rounds parameters and loses what that takes away.</summary>
    public static bool RoundsParameters(DType type, MasterWeights master) =>
        type == DType.BFloat16 && master == MasterWeights.None;

    /// <summary>The bytes of each tensor in each buffer.</summary>
    public IReadOnlyDictionary<string, long[]> TensorBytes =>
        StepTraffic.TensorBytes(Options, DType, Rule.Dimer, Shape.ElementCounts);

    /// <summary>The bytes of an element in each buffer; of states of 8 bits, which small tensors have not, the mean.</summary>
    public IReadOnlyDictionary<string, double> ElementBytes => TensorBytes.ToDictionary(
        static role => role.Key, role => (double)role.Value.Sum() / Shape.ElementCount);

    public StepTraffic Traffic => StepTraffic.Of(Rule.Work, ElementBytes);

    /// <summary>
    /// Whether there are peers that can do the same: they are written for some rules, for float32 on the CPU, without a
    /// dimer, and a tensor must fit a span.
    /// </summary>
    public bool HasPeers =>
        WithPeers && PeerFormulas.Of(Rule.Preset) is not null && Rule.Work == BenchWork.Step && Device == Device.Cpu && DType == DType.Float32
        && StateType == DType.Float32 && Shape.ElementCounts.All(static count => count <= Array.MaxLength);

    /// <summary>
    /// The bytes that it takes, about: the buffers, those that a dimer has of its own, and two more, for the check of the
    /// peers and their temporaries or for what the floor must not overwrite.
    /// </summary>
    public long MemoryBytes
    {
        get
        {
            double ofElement = ElementBytes.Sum(static role => role.Value * (IsOfDimer(role.Key) ? 2 : 1));
            return (long)((ofElement + (2 * sizeof(float))) * Shape.ElementCount);
        }
    }

    /// <summary>Whether the dimer allocates it, so that the floor needs one that is like it.</summary>
    public static bool IsOfDimer(string role) =>
        role is StepTraffic.Direction or StepTraffic.ParamBackup or StepTraffic.GradBackup;
}
