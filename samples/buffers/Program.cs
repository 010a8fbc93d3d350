// Fits a line to points with parameters and gradients in a device's memory, on the first GPU or, without one, on the CPU. On
// a GPU this is not yet run. It takes the learning rate and the device ("cpu", "cuda:1") as its arguments, and its exit code
// is 0 if the loss fell.
using System.Globalization;
using NativeOpt;

double learningRate = args.Length > 0 ? double.Parse(args[0], CultureInfo.InvariantCulture) : 0.05;
Device device = args.Length > 1
    ? Device.Parse(args[1])
    : Device.TryGetCudaDevices(out IReadOnlyList<Device> gpus, out _) ? gpus[0] : Device.Cpu;
Console.WriteLine($"on {device.GetInfo().Name}");

// A framework with memory of its own gives TensorRef.FromPointer(address, count, device) instead of buffers.
using DeviceBuffer<float> line = new(device, 2), gradient = new(device, 2);
using ParameterSet parameters = ParameterSet.FromBuffers([line], [gradient]);
using Adam optimizer = new(parameters, new AdamOptions { LearningRate = learningRate });

// All work of a training step is queued on one stream, in order. A host framework's is DeviceStream.FromPointer(cudaStream).
using DeviceStream stream = DeviceStream.Create(device);
double first = 0, last = 0;
float[] host = new float[2];
for (int step = 0; step <= 400; step++)
{
    line.CopyTo(host, stream);
    (last, float slope, float offset) = LossAndGradient(host[0], host[1]);
    gradient.CopyFrom([slope, offset], stream);
    optimizer.Step(stream); // On a GPU it returns before the step has run: the next copy on the stream waits for it.
    if (step == 0)
    {
        first = last;
    }

    if (step % 100 == 0)
    {
        Console.WriteLine(
            string.Create(CultureInfo.InvariantCulture, $"step {step}: loss {last:g4}, y = {host[0]:f3}x + {host[1]:f3}"));
    }
}

return last < 0.05 * first ? 0 : 1;

// The loss is the mean of the squared errors at 21 points of the line y = 3x - 1.
static (double Loss, float Slope, float Offset) LossAndGradient(float slope, float offset)
{
    double loss = 0;
    float bySlope = 0, byOffset = 0;
    for (int i = -10; i <= 10; i++)
    {
        float x = i / 10f, error = (slope * x) + offset - ((3 * x) - 1);
        loss += error * error / 21;
        bySlope += 2 * error * x / 21;
        byOffset += 2 * error / 21;
    }

    return (loss, bySlope, byOffset);
}
