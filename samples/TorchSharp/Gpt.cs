using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace TorchSharpSample;

/// <summary>A GPT (Radford et al. 2019): from characters (batch, context) to logits (batch · context, characters).</summary>
internal sealed class Gpt : Module<Tensor, Tensor>
{
    private readonly Embedding _tokens;
    private readonly Embedding _places;
    private readonly ModuleList<Block> _blocks;
    private readonly LayerNorm _norm;
    private readonly Linear _head;

    public Gpt(int characters, int context, int width, int heads, int layers)
        : base(nameof(Gpt))
    {
        _tokens = Embedding(characters, width);
        _places = Embedding(context, width);
        _blocks = ModuleList([.. Enumerable.Range(0, layers).Select(_ => new Block(width, heads))]);
        _norm = LayerNorm(width);
        _head = Linear(width, characters, hasBias: false);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        Tensor x = _tokens.forward(input) + _places.forward(arange(input.shape[1], dtype: ScalarType.Int64));
        foreach (Block block in _blocks)
        {
            x = block.forward(x);
        }

        return _head.forward(_norm.forward(x)).flatten(0, 1);
    }

    private sealed class Block : Module<Tensor, Tensor>
    {
        private readonly int _heads;
        private readonly LayerNorm _norm1;
        private readonly Linear _attention;
        private readonly Linear _projection;
        private readonly LayerNorm _norm2;
        private readonly Linear _widen;
        private readonly Linear _narrow;

        public Block(int width, int heads)
            : base(nameof(Block))
        {
            _heads = heads;
            _norm1 = LayerNorm(width);
            _attention = Linear(width, 3 * width);
            _projection = Linear(width, width);
            _norm2 = LayerNorm(width);
            _widen = Linear(width, 4 * width);
            _narrow = Linear(4 * width, width);
            RegisterComponents();
        }

        public override Tensor forward(Tensor input)
        {
            (long batch, long context, long width) = (input.shape[0], input.shape[1], input.shape[2]);
            Tensor[] parts = _attention.forward(_norm1.forward(input)).chunk(3, dim: -1);
            Tensor attended = functional.scaled_dot_product_attention(
                Heads(parts[0]), Heads(parts[1]), Heads(parts[2]), is_casual: true);
            Tensor x = input + _projection.forward(attended.transpose(1, 2).reshape(batch, context, width));
            return x + _narrow.forward(functional.gelu(_widen.forward(_norm2.forward(x))));

            Tensor Heads(Tensor part) => part.reshape(batch, context, _heads, width / _heads).transpose(1, 2);
        }
    }
}
