// Linear regression whose gradients are ILGPU kernels, on a GPU that CUDA knows or, without one, on ILGPU's CPU accelerator.
// On a GPU this is not yet run. It takes the learning rate as its argument, and its exit code is 0 if the loss fell.
using System.Globalization;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using NativeOpt;

const int Rows = 128, Columns = 8;
double learningRate = args.Length > 0 ? double.Parse(args[0], CultureInfo.InvariantCulture) : 0.05;

using Context context = Context.Create(static builder => builder.Cuda().CPU());
using Accelerator accelerator = context.GetPreferredDevice(preferCPU: false).CreateAccelerator(context);
Console.WriteLine($"on {accelerator.Name}");

// The targets follow from weights that the training has to find: 0, 1, 2, ...
Random random = new(1);
float[] x = [.. Enumerable.Range(0, Rows * Columns).Select(_ => (2 * random.NextSingle()) - 1)];
float[] y = [.. Enumerable.Range(0, Rows).Select(row => Enumerable.Range(0, Columns).Sum(i => x[(row * Columns) + i] * i))];
using MemoryBuffer1D<float, Stride1D.Dense> inputs = accelerator.Allocate1D(x), outputs = accelerator.Allocate1D(y);
using MemoryBuffer1D<float, Stride1D.Dense> errors = accelerator.Allocate1D<float>(Rows);
using MemoryBuffer1D<float, Stride1D.Dense> weights = accelerator.Allocate1D<float>(Columns);
using MemoryBuffer1D<float, Stride1D.Dense> gradient = accelerator.Allocate1D<float>(Columns);
weights.MemSetToZero();

Action<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>> computeErrors =
    accelerator.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>>(
        ComputeError);
Action<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>> computeGradient =
    accelerator.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>>(ComputeGradient);

// The optimizer works in the buffers' memory, in the order of the accelerator's stream.
using ParameterSet parameters = ParameterSet.FromBuffers([weights], [gradient]);
using AdamW optimizer = new(parameters, new AdamWOptions { LearningRate = learningRate, WeightDecay = 0 });

double first = 0, last = 0;
for (int step = 0; step <= 400; step++)
{
    computeErrors(Rows, inputs.View, outputs.View, weights.View, errors.View);
    computeGradient(Columns, inputs.View, errors.View, gradient.View);
    optimizer.Step(accelerator.DefaultStream);
    if (step % 100 == 0)
    {
        last = errors.GetAsArray1D().Average(static error => (double)error * error);
        if (step == 0)
        {
            first = last;
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"step {step}: loss {last:g4}"));
    }
}

return last < 0.05 * first ? 0 : 1;

// Each thread computes the error of one row.
static void ComputeError(
    Index1D row, ArrayView<float> inputs, ArrayView<float> outputs, ArrayView<float> weights, ArrayView<float> errors)
{
    float sum = -outputs[row];
    for (int i = 0; i < weights.IntLength; i++)
    {
        sum += inputs[(row * weights.IntLength) + i] * weights[i];
    }

    errors[row] = sum;
}

// Each thread computes the derivative of the mean of the squared errors by one weight.
static void ComputeGradient(Index1D weight, ArrayView<float> inputs, ArrayView<float> errors, ArrayView<float> gradient)
{
    float sum = 0;
    for (int row = 0; row < errors.IntLength; row++)
    {
        sum += errors[row] * inputs[(row * gradient.IntLength) + weight];
    }

    gradient[weight] = 2 * sum / errors.IntLength;
}
