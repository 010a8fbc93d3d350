using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Deo;

/// <summary>A size of <c>nativeopt deo</c>: the model, and how long it is trained unless something else is asked for.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="Model">The model for a size of the vocabulary.</param>
/// <param name="BatchSize">Sequences in a step.</param>
/// <param name="Gradients">Gradients of a run.</param>
/// <param name="Factors">The learning rates of a run, as factors of the rule's own in training.</param>
/// <param name="Seeds">The seeds of each run.</param>
internal sealed record DeoShape(
    string Name, Func<int, GptConfig> Model, int BatchSize, int Gradients, IReadOnlyList<double> Factors, int Seeds)
{
    private static readonly double[] _wide = [1, 3, 10, 30];

    /// <summary>
    /// All sizes, the smallest first: the first is for minutes, the last, which is the paper's, for an hour on two cores. The smallest sees
    /// many short windows in a batch, since the noise of the loss hides spikes.
    /// </summary>
    public static IReadOnlyList<DeoShape> All { get; } =
    [
        new("tiny", static vocabulary => new GptConfig(vocabulary, ContextLength: 16, Layers: 4, Heads: 4, Width: 32), 32, 600, _wide, 3),
        new("small", GptConfig.Default, 8, 300, _wide, 3),
        new("deo", GptConfig.Deo, 4, 300, [3], 3),
    ];
}
