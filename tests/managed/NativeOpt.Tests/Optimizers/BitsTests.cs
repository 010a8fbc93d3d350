using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Tests that change settings of the whole process run alone.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public class ProcessWideSettings
{
    public const string Name = "process-wide settings";
}

/// <summary>Equal bits with every instruction set and number of threads.</summary>
[Collection(ProcessWideSettings.Name)]
public sealed class BitsTests : IDisposable
{
    private readonly string _instructionSet = NativeRuntime.CpuInstructionSet;
    private readonly int _threads = NativeRuntime.CpuThreads;

    public static TheoryData<string> Names => Rules.OptimizerNames;

    [Theory]
    [MemberData(nameof(Names))]
    public void Instruction_sets_and_threads_do_not_show(string name)
    {
        HashSet<string> results = [];
        foreach (CpuInstructionSetInfo set in NativeRuntime.CpuInstructionSets.Where(set => set.IsSupported))
        {
            foreach (int threads in new[] { 1, 2, 5 })
            {
                NativeRuntime.CpuInstructionSet = set.Name;
                NativeRuntime.CpuThreads = threads;
                Assert.Equal((set.Name, threads), (NativeRuntime.CpuInstructionSet, NativeRuntime.CpuThreads));
                using Model model = new(Model.AwkwardSizes, Options());
                using Optimizer optimizer = Rules.OneOfEach[name](model.Set);
                model.Step(optimizer, 1, 4);
                results.Add(Snapshot.Of(optimizer));
            }
        }

        Assert.Single(results);
    }

    /// <summary>Steps did move the parameters, so that the test above does not compare what nobody wrote.</summary>
    [Fact]
    public void Steps_move_every_element()
    {
        using Model before = new(Model.AwkwardSizes);
        using Model model = new(Model.AwkwardSizes);
        using Adam optimizer = new(model.Set);
        optimizer.Step();
        for (int tensor = 0; tensor < before.Parameters.Length; tensor++)
        {
            Assert.DoesNotContain(
                0.0f, before.Parameters[tensor].Zip(model.Parameters[tensor], (a, b) => a - b));
        }
    }

    public void Dispose()
    {
        NativeRuntime.CpuInstructionSet = _instructionSet;
        NativeRuntime.CpuThreads = _threads;
    }

    private static TensorOptions[] Options() =>
        [.. Model.AwkwardSizes.Select((_, i) => new TensorOptions { LearningRateScale = 1 + (i % 3), WeightDecay = i % 2 == 0 ? null : 0.1 })];
}
