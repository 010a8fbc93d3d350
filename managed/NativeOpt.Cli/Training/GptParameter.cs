namespace NativeOpt.Cli.Training;

/// <summary>
/// One tensor that training changes, with its gradient. Both arrays are pinned: they never move, so a native optimizer
/// may keep their addresses and work on them in place.
/// </summary>
internal sealed class GptParameter
{
    /// <summary>Creates a tensor of zeros.</summary>
    public GptParameter(string name, params int[] shape)
    {
        int length = 1;
        foreach (int size in shape)
        {
            length = checked(length * size);
        }

        Name = name;
        Shape = shape;
        Value = GC.AllocateArray<float>(length, pinned: true);
        Gradient = GC.AllocateArray<float>(length, pinned: true);
    }

    /// <summary>The name that GPT-2 checkpoints use, such as "h.0.attn.c_attn.weight".</summary>
    public string Name { get; }

    /// <summary>The sizes, outermost first. Weights of linear layers are [outputs, inputs].</summary>
    public int[] Shape { get; }

    /// <summary>The numbers, row-major.</summary>
    public float[] Value { get; }

    /// <summary>The gradient of the mean loss; valid after <see cref="Gpt.ForwardBackward"/>.</summary>
    public float[] Gradient { get; }

    /// <summary>True for weights and embeddings, to which weight decay applies; false for biases and gains.</summary>
    public bool IsMatrix => Shape.Length > 1;

    /// <summary><see cref="Value"/> as a matrix.</summary>
    internal Matrix ValueMatrix => new(Value, Shape[0], Shape[1]);

    /// <summary><see cref="Gradient"/> as a matrix.</summary>
    internal Matrix GradientMatrix => new(Gradient, Shape[0], Shape[1]);
}
