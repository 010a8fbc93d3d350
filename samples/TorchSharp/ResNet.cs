using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace TorchSharpSample;

/// <summary>
/// A small residual network (He et al. 2016, section 4.2, with one block a stage): from images (batch, channels, height, width) to logits
/// (batch, classes).
/// </summary>
internal sealed class ResNet : Module<Tensor, Tensor>
{
    private const int FirstWidth = 16, Stages = 3;

    private readonly Conv2d _first;
    private readonly BatchNorm2d _norm;
    private readonly ModuleList<Block> _blocks;
    private readonly Linear _head;

    public ResNet(int channels, int classes)
        : base(nameof(ResNet))
    {
        _first = Conv2d(channels, FirstWidth, 3, padding: 1, bias: false);
        _norm = BatchNorm2d(FirstWidth);
        _blocks = ModuleList(
            [.. Enumerable.Range(0, Stages).Select(static stage => new Block(FirstWidth << Math.Max(0, stage - 1), FirstWidth << stage))]);
        _head = Linear(FirstWidth << (Stages - 1), classes);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        Tensor x = functional.relu(_norm.forward(_first.forward(input)));
        foreach (Block block in _blocks)
        {
            x = block.forward(x);
        }

        return _head.forward(x.mean([2, 3]));
    }

    /// <summary>Two convolutions and what they leave unchanged; where the width grows, the image shrinks to half.</summary>
    private sealed class Block : Module<Tensor, Tensor>
    {
        private readonly Conv2d _conv1;
        private readonly BatchNorm2d _norm1;
        private readonly Conv2d _conv2;
        private readonly BatchNorm2d _norm2;
        private readonly Conv2d? _shortcut;

        public Block(int inputs, int outputs)
            : base(nameof(Block))
        {
            int stride = inputs == outputs ? 1 : 2;
            _conv1 = Conv2d(inputs, outputs, 3, stride, padding: 1, bias: false);
            _norm1 = BatchNorm2d(outputs);
            _conv2 = Conv2d(outputs, outputs, 3, padding: 1, bias: false);
            _norm2 = BatchNorm2d(outputs);
            _shortcut = inputs == outputs ? null : Conv2d(inputs, outputs, 1, stride, bias: false);
            RegisterComponents();
        }

        public override Tensor forward(Tensor input)
        {
            Tensor x = functional.relu(_norm1.forward(_conv1.forward(input)));
            return functional.relu(_norm2.forward(_conv2.forward(x)) + (_shortcut?.forward(input) ?? input));
        }
    }
}
