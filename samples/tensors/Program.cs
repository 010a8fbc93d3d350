// Linear regression on tensors of System.Numerics.Tensors. It takes the learning rate as its argument, and its exit code is
// 0 if the loss fell.
using System.Globalization;
using System.Numerics.Tensors;
using NativeOpt;

const int Rows = 256, Columns = 16;
double learningRate = args.Length > 0 ? double.Parse(args[0], CultureInfo.InvariantCulture) : 0.05;

// The targets follow from weights that the training has to find.
Tensor<float> inputs = Tensor.CreateFromShape<float>([Rows, Columns]), target = Tensor.CreateFromShape<float>([Columns]);
Tensor<float> outputs = Tensor.CreateFromShape<float>([Rows]);
Random random = new(1);
Tensor.FillUniformDistribution<float>(inputs, random);
Tensor.FillUniformDistribution<float>(target, random);
for (int row = 0; row < Rows; row++)
{
    outputs[row] = TensorPrimitives.Dot(inputs.GetSpan([row, 0], Columns), target.GetSpan([0], Columns));
}

Tensor<float> weights = Tensor.CreateFromShape<float>([Columns]), gradient = Tensor.CreateFromShape<float>([Columns]);
using ParameterSet parameters = ParameterSet.FromTensors([weights], [gradient]); // Pinned, not copied.
using DualAdam optimizer = new(parameters, new DualAdamOptions { LearningRate = learningRate, SwitchingRate = 0.01 });

double first = 0, last = 0;
for (int step = 0; step <= 400; step++)
{
    last = LossAndGradient();
    if (step == 0)
    {
        first = last;
    }

    if (step % 100 == 0)
    {
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"step {step}: loss {last:g4}"));
    }

    optimizer.Step();
}

return last < 0.05 * first ? 0 : 1;

double LossAndGradient()
{
    gradient.Clear();
    Span<float> w = weights.GetSpan([0], Columns), dw = gradient.GetSpan([0], Columns);
    double loss = 0;
    for (int row = 0; row < Rows; row++)
    {
        Span<float> x = inputs.GetSpan([row, 0], Columns);
        float error = TensorPrimitives.Dot<float>(x, w) - outputs[row];
        loss += error * error / Rows;
        TensorPrimitives.MultiplyAdd(x, 2 * error / Rows, dw, dw); // dw += 2 error x / rows
    }

    return loss;
}
