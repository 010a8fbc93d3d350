// Fits y = sin(3x) with a network of one hidden layer, on plain arrays. It takes the learning rate as its argument, and its
// exit code is 0 if the loss fell.
using System.Globalization;
using NativeOpt;

const int Hidden = 32, Points = 64;
double learningRate = args.Length > 0 ? double.Parse(args[0], CultureInfo.InvariantCulture) : 0.02;

// The network is y = Σ_j w2_j tanh(w1_j x + b1_j) + b2.
Random random = new(1);
float[] w1 = Draw(3), b1 = Draw(1), w2 = Draw(0.3f), b2 = new float[1];
float[] dw1 = new float[Hidden], db1 = new float[Hidden], dw2 = new float[Hidden], db2 = new float[1];

// The arrays are pinned and used where they are: nothing is copied.
using ParameterSet parameters = ParameterSet.FromArrays([w1, b1, w2, b2], [dw1, db1, dw2, db2]);
using AdamW optimizer = new(parameters, new AdamWOptions { LearningRate = learningRate, WeightDecay = 0 });

double first = 0, last = 0;
for (int step = 0; step <= 500; step++)
{
    last = LossAndGradients();
    if (step == 0)
    {
        first = last;
    }

    if (step % 100 == 0)
    {
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"step {step}: loss {last:g4}"));
    }

    optimizer.Step(); // One native call updates all four arrays.
}

return last < 0.05 * first ? 0 : 1;

double LossAndGradients()
{
    Array.Clear(dw1);
    Array.Clear(db1);
    Array.Clear(dw2);
    Array.Clear(db2);
    double loss = 0;
    float[] hidden = new float[Hidden];
    for (int i = 0; i < Points; i++)
    {
        float x = (2f * i / (Points - 1)) - 1, y = b2[0];
        for (int j = 0; j < Hidden; j++)
        {
            hidden[j] = MathF.Tanh((w1[j] * x) + b1[j]);
            y += w2[j] * hidden[j];
        }

        float error = y - MathF.Sin(3 * x), slope = 2 * error / Points; // The slope is the derivative of the loss by y.
        loss += (double)error * error / Points;
        db2[0] += slope;
        for (int j = 0; j < Hidden; j++)
        {
            float inside = slope * w2[j] * (1 - (hidden[j] * hidden[j]));
            dw2[j] += slope * hidden[j];
            dw1[j] += inside * x;
            db1[j] += inside;
        }
    }

    return loss;
}

float[] Draw(float scale) => [.. Enumerable.Range(0, Hidden).Select(_ => scale * ((2 * random.NextSingle()) - 1))];
