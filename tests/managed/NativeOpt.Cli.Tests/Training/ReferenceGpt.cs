using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>
/// The loss of a GPT in double precision by the textbook loops, one token and one sum at a time. Shares no code with
/// <see cref="Gpt"/> except the list of parameters, which it copies.
/// </summary>
internal sealed class ReferenceGpt
{
    private readonly GptConfig _config;
    private readonly Dictionary<string, double[]> _parameters = [];

    public ReferenceGpt(Gpt model)
    {
        _config = model.Config;
        foreach (GptParameter parameter in model.Parameters)
        {
            _parameters[parameter.Name] = Array.ConvertAll(parameter.Value, static value => (double)value);
        }
    }

    public double[] this[string name] => _parameters[name];

    public double Loss(int[] inputs, int[] targets, int batch)
    {
        int time = inputs.Length / batch;
        double sum = 0;
        for (int sequence = 0; sequence < batch; sequence++)
        {
            double[][] logits = Logits(inputs[(sequence * time)..((sequence + 1) * time)]);
            for (int t = 0; t < time; t++)
            {
                double normaliser = logits[t].Sum(Math.Exp);
                sum += Math.Log(normaliser) - logits[t][targets[(sequence * time) + t]];
            }
        }

        return sum / inputs.Length;
    }

    public double[][] Logits(int[] tokens)
    {
        int width = _config.Width;
        double[] wte = this["wte"];
        double[] wpe = this["wpe"];
        double[][] x = new double[tokens.Length][];
        for (int t = 0; t < tokens.Length; t++)
        {
            x[t] = new double[width];
            for (int i = 0; i < width; i++)
            {
                x[t][i] = wte[(tokens[t] * width) + i] + wpe[(t * width) + i];
            }
        }

        for (int layer = 0; layer < _config.Layers; layer++)
        {
            string h = $"h.{layer}.";
            double[][] attention = Attention(x, h);
            for (int t = 0; t < x.Length; t++)
            {
                double[] projected = Linear(attention[t], h + "attn.c_proj", width);
                for (int i = 0; i < width; i++)
                {
                    x[t][i] += projected[i];
                }

                double[] hidden = Linear(Norm(x[t], h + "ln_2"), h + "mlp.c_fc", 4 * width);
                double[] output = Linear(Array.ConvertAll(hidden, Gelu), h + "mlp.c_proj", width);
                for (int i = 0; i < width; i++)
                {
                    x[t][i] += output[i];
                }
            }
        }

        double[][] logits = new double[x.Length][];
        for (int t = 0; t < x.Length; t++)
        {
            double[] normed = Norm(x[t], "ln_f");
            logits[t] = new double[_config.VocabularySize];
            for (int token = 0; token < logits[t].Length; token++)
            {
                for (int i = 0; i < width; i++)
                {
                    logits[t][token] += normed[i] * wte[(token * width) + i];
                }
            }
        }

        return logits;
    }

    private double[][] Attention(double[][] x, string h)
    {
        int width = _config.Width;
        int headWidth = width / _config.Heads;
        double[][] qkv = Array.ConvertAll(x, row => Linear(Norm(row, h + "ln_1"), h + "attn.c_attn", 3 * width));
        double[][] result = Array.ConvertAll(x, _ => new double[width]);
        for (int head = 0; head < _config.Heads; head++)
        {
            int first = head * headWidth;
            for (int t = 0; t < x.Length; t++)
            {
                double[] weights = new double[t + 1];
                double sum = 0;
                for (int s = 0; s <= t; s++)
                {
                    double score = 0;
                    for (int i = first; i < first + headWidth; i++)
                    {
                        score += qkv[t][i] * qkv[s][width + i];
                    }

                    weights[s] = Math.Exp(score / Math.Sqrt(headWidth));
                    sum += weights[s];
                }

                for (int s = 0; s <= t; s++)
                {
                    for (int i = first; i < first + headWidth; i++)
                    {
                        result[t][i] += weights[s] / sum * qkv[s][(2 * width) + i];
                    }
                }
            }
        }

        return result;
    }

    private double[] Linear(double[] x, string name, int outputs)
    {
        double[] weight = this[name + ".weight"];
        double[] y = (double[])this[name + ".bias"].Clone();
        for (int o = 0; o < outputs; o++)
        {
            for (int i = 0; i < x.Length; i++)
            {
                y[o] += weight[(o * x.Length) + i] * x[i];
            }
        }

        return y;
    }

    private double[] Norm(double[] x, string name)
    {
        double[] gain = this[name + ".weight"];
        double[] bias = this[name + ".bias"];
        double mean = x.Average();
        double variance = x.Average(value => (value - mean) * (value - mean));
        double[] y = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            y[i] = ((x[i] - mean) / Math.Sqrt(variance + 1e-5) * gain[i]) + bias[i];
        }

        return y;
    }

    private static double Gelu(double x) =>
        0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x))));
}
