using System.Diagnostics;
using System.Globalization;
using NativeOpt.TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace TorchSharpSample;

/// <summary>
/// Trains while another thread collects garbage all the time, each run in a process of its own. A tensor whose memory is used after
/// the collector took its handle ends the process there; the stack says in whose code.
/// </summary>
internal static class Garbage
{
    private const int Steps = 50;

    public static void Run(int runs)
    {
        foreach (string which in (string[])["nativeopt", "torch"])
        {
            int survived = 0;
            string? stack = null;
            for (int run = 0; run < runs; run++)
            {
                string? failure = RunChild(which, run);
                survived += failure is null ? 1 : 0;
                stack ??= failure;
            }

            Console.WriteLine($"{which}.optim.AdamW: {survived} of {runs} runs of {Steps} steps came to their end.");
            if (stack is not null)
            {
                Console.WriteLine($"The first one that did not:\n{stack}");
            }
        }
    }

    /// <summary>What the child process does.</summary>
    public static void Train(string which, int run)
    {
        using CancellationTokenSource stop = new();
        Thread collector = new(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        });
        collector.Start();
        random.manual_seed(run);
        using Module<Tensor, Tensor> model = Sequential(("in", Linear(8, 32)), ("act", Tanh()), ("out", Linear(32, 1)));
        using optim.Optimizer optimizer =
            which == "torch" ? optim.AdamW(model.parameters(), lr: 1e-2) : nativeopt.optim.AdamW(model.parameters(), lr: 1e-2);
        using Tensor x = randn(64, 8);
        using Tensor sum = x.sum(1, keepdim: true);
        using Tensor y = sum.sin();
        float first = 0, last = 0;
        for (int step = 0; step < Steps; step++)
        {
            // The scope keeps all tensors of the step alive until its end.
            using IDisposable scope = NewDisposeScope();
            optimizer.zero_grad();
            Tensor loss = functional.mse_loss(model.forward(x), y);
            loss.backward();
            optimizer.step();
            last = loss.item<float>();
            first = step == 0 ? last : first;
        }

        stop.Cancel();
        collector.Join();
        if (!(last < first))
        {
            throw new InvalidOperationException($"The loss went from {first} to {last}.");
        }
    }

    /// <summary>Why the child failed: the end of what it said; null if it did not fail.</summary>
    private static string? RunChild(string which, int run)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!) { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string argument in (string[])
            [typeof(Garbage).Assembly.Location, "gc-run", run.ToString(CultureInfo.InvariantCulture), which])
        {
            start.ArgumentList.Add(argument);
        }

        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) != "dotnet")
        {
            start.ArgumentList.RemoveAt(0); // the program's own executable knows its assembly
        }

        using Process child = Process.Start(start)!;
        Task<string> output = child.StandardOutput.ReadToEndAsync();
        string error = child.StandardError.ReadToEnd();
        child.WaitForExit();
        return child.ExitCode == 0
            ? null
            : $"exit code {child.ExitCode}\n" + string.Join('\n', (output.Result + error).Split('\n').Take(25));
    }
}
