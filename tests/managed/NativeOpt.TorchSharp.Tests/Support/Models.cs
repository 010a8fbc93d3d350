using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace TorchSharpAdapter;

/// <summary>Small models, and training of two of them side by side on the same gradients.</summary>
internal static class Models
{
    public static Sequential Mlp(long seed = 1, int width = 16)
    {
        random.manual_seed(seed);
        return nn.Sequential(
            ("first", nn.Linear(8, width)), ("act", nn.Tanh()), ("second", nn.Linear(width, width)), ("act2", nn.Tanh()),
            ("last", nn.Linear(width, 1)));
    }

    /// <summary>Parameters of the given shapes, with the same numbers for the same seed.</summary>
    public static Parameter[] Parameters(long seed, params long[][] shapes)
    {
        random.manual_seed(seed);
        return [.. shapes.Select(static shape => nn.Parameter(torch.randn(shape)))];
    }

    /// <summary>Gives both lists of parameters the same gradients, from the seed.</summary>
    public static void SetGradients(long seed, params IReadOnlyList<Parameter>[] lists)
    {
        for (int i = 0; i < lists[0].Count; i++)
        {
            random.manual_seed((seed * 1000) + i);
            using Tensor gradient = torch.randn(lists[0][i].shape);
            foreach (IReadOnlyList<Parameter> list in lists)
            {
                using Tensor? before = list[i].grad;
                list[i].grad = gradient.clone();
            }
        }
    }

    public static float[] Values(Tensor tensor)
    {
        using Tensor detached = tensor.detach();
        using Tensor contiguous = detached.contiguous();
        using Tensor single = contiguous.to(ScalarType.Float32);
        return single.numel() == 0 ? [] : single.data<float>().ToArray();
    }

    /// <summary>The norm of the difference of all parameters over that of the second ones.</summary>
    public static double RelativeDifference(IEnumerable<Tensor> actual, IEnumerable<Tensor> expected)
    {
        (double difference, double norm) = (0, 0);
        foreach ((Tensor a, Tensor b) in actual.Zip(expected))
        {
            foreach ((float x, float y) in Values(a).Zip(Values(b)))
            {
                difference += ((double)x - y) * ((double)x - y);
                norm += (double)y * y;
            }
        }

        return Math.Sqrt(difference / norm);
    }

    /// <summary>Gives parameters the values of others.</summary>
    public static void Copy(Parameter[] from, Parameter[] to)
    {
        using (no_grad())
        {
            foreach ((Parameter source, Parameter destination) in from.Zip(to))
            {
                destination.copy_(source);
            }
        }
    }

    /// <summary>What <c>save_state_dict</c> writes, to be read from its beginning.</summary>
    public static MemoryStream Save(Action<BinaryWriter> save)
    {
        MemoryStream file = new();
        BinaryWriter writer = new(file);
        save(writer);
        writer.Flush();
        file.Position = 0;
        return file;
    }

    /// <summary>One training step of an MLP on random data.</summary>
    public static double TrainStep(Sequential model, optim.Optimizer optimizer, long seed)
    {
        random.manual_seed(seed);
        using IDisposable scope = NewDisposeScope();
        Tensor x = torch.randn(32, 8);
        Tensor y = x.sum(1, keepdim: true).sin();
        optimizer.zero_grad();
        Tensor loss = nn.functional.mse_loss(model.forward(x), y);
        loss.backward();
        optimizer.step();
        return loss.item<float>();
    }
}
