using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Capturable optimizers, as far as no GPU is needed: on CPU they take the same steps.</summary>
public class CaptureTests
{
    [Fact]
    public void StepsAndTheirFilesAreTheSame()
    {
        using Model plain = new(Model.AwkwardSizes);
        using Model capturable = new(Model.AwkwardSizes);
        using DualAdam expected = new(plain.Set);
        using DualAdam actual = new(capturable.Set);
        for (int step = 1; step <= 6; step++)
        {
            actual.SetCapturable(step % 3 != 0);
            expected.LearningRate = 1e-3 / step;
            actual.SetLearningRate(1e-3 / step);
            actual.Upload();
            plain.Step(expected, step, step);
            capturable.Step(actual, step, step);
        }

        Assert.Equal(6, actual.StepCount);
        Assert.Equal(1e-3 / 6, actual.LearningRate);
        Assert.Equal(plain.Parameters, capturable.Parameters);
        using MemoryStream expectedFile = new();
        using MemoryStream actualFile = new();
        expected.Save(expectedFile);
        actual.Save(actualFile);
        Assert.Equal(expectedFile.ToArray(), actualFile.ToArray());
    }

    [Fact]
    public void DimersStepWithTheLearningRateOfTheDevice()
    {
        float[][] results = [.. new[] { false, true }.Select(static capturable =>
        {
            using Model model = new(100);
            using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 0.01 });
            optimizer.SetCapturable(capturable);
            using DimerOptimizer dimer = new(optimizer);
            for (int step = 1; step <= 3; step++)
            {
                optimizer.SetLearningRate(0.01 / step);
                model.SetGradients(step);
                dimer.Step(() => 1f);
            }

            return model.Parameters[0];
        })];
        Assert.Equal(results[0], results[1]);
    }

    [Fact]
    public void TheLearningRateIsSetWhereItIs()
    {
        using Model model = new(4);
        using Adam optimizer = new(model.Set);
        Assert.False(optimizer.IsCapturable);
        optimizer.SetCapturable(true);
        Assert.True(optimizer.IsCapturable);
        var error = Assert.Throws<InvalidOperationException>(() => optimizer.LearningRate = 0.1);
        Assert.Contains(nameof(Optimizer.SetLearningRate), error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => optimizer.SetLearningRate(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => optimizer.SetLearningRate(double.NaN));
        Assert.Equal(1e-3, optimizer.LearningRate);
        optimizer.SetCapturable(false);
        optimizer.LearningRate = 0.1;
        Assert.Equal(0.1, optimizer.LearningRate);
    }

    [Fact]
    public void TheCpuHasNoStreams()
    {
        using Model model = new(4);
        using Adam optimizer = new(model.Set);
        DeviceStream other = DeviceStream.FromPointer(64);
        Assert.Throws<ArgumentException>(() => optimizer.SetCapturable(true, other));
        Assert.Throws<ArgumentException>(() => optimizer.Upload(other));
        optimizer.SetCapturable(true);
        Assert.Throws<ArgumentException>(() => optimizer.SetLearningRate(0.1, other));
        optimizer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => optimizer.SetCapturable(true));
        Assert.Throws<ObjectDisposedException>(() => optimizer.Upload());
        Assert.Throws<ObjectDisposedException>(() => optimizer.SetLearningRate(0.1));
    }
}
