using NativeOpt.Tests.Optimizers;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Equal bits with every instruction set and number of threads.</summary>
[Collection(ProcessWideSettings.Name)]
public sealed class DimerBitsTests : IDisposable
{
    private readonly string _instructionSet = NativeRuntime.CpuInstructionSet;
    private readonly int _threads = NativeRuntime.CpuThreads;

    public static TheoryData<RotationAngle, DimerScope, DimerCorrection> Cases => new()
    {
        { RotationAngle.FixedRate, DimerScope.Global, DimerCorrection.Published },
        { RotationAngle.FixedRate, DimerScope.PerTensor, DimerCorrection.Escape },
        { RotationAngle.Optimal, DimerScope.Global, DimerCorrection.Escape },
        { RotationAngle.Optimal, DimerScope.PerTensor, DimerCorrection.Published },
        { RotationAngle.Conjugate, DimerScope.Global, DimerCorrection.Escape },
        { RotationAngle.Conjugate, DimerScope.PerTensor, DimerCorrection.Published },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Instruction_sets_and_threads_do_not_show(RotationAngle angle, DimerScope scope, DimerCorrection correction)
    {
        HashSet<string> results = [];
        foreach (CpuInstructionSetInfo set in NativeRuntime.CpuInstructionSets.Where(set => set.IsSupported))
        {
            foreach (int threads in new[] { 1, 2, 5 })
            {
                NativeRuntime.CpuInstructionSet = set.Name;
                NativeRuntime.CpuThreads = threads;
                Assert.Equal((set.Name, threads), (NativeRuntime.CpuInstructionSet, NativeRuntime.CpuThreads));
                results.Add(Run(new DimerOptions
                {
                    Interval = 2,
                    RotationsPerUpdate = 2,
                    Displacement = 0.5,
                    RotationRate = 0.2,
                    Seed = 5,
                    Angle = angle,
                    Scope = scope,
                    Correction = correction,
                }));
            }
        }

        Assert.Single(results);
    }

    /// <summary>The drawn direction alone; and that another seed does show.</summary>
    [Fact]
    public void Seeds_show_and_threads_do_not()
    {
        HashSet<string> results = [];
        foreach (ulong seed in new ulong[] { 1, 2 })
        {
            foreach (CpuInstructionSetInfo set in NativeRuntime.CpuInstructionSets.Where(set => set.IsSupported))
            {
                foreach (int threads in new[] { 1, 3 })
                {
                    NativeRuntime.CpuInstructionSet = set.Name;
                    NativeRuntime.CpuThreads = threads;
                    using Model model = new(Model.AwkwardSizes);
                    using Adam optimizer = new(model.Set);
                    using DimerOptimizer dimer = new(optimizer, new DimerOptions { Seed = seed });
                    results.Add(string.Join(' ', Model.AwkwardSizes.Select((_, tensor) => Snapshot.Bits(dimer.GetDirection(tensor)))));
                }
            }
        }

        Assert.Equal(2, results.Count);
    }

    public void Dispose()
    {
        NativeRuntime.CpuInstructionSet = _instructionSet;
        NativeRuntime.CpuThreads = _threads;
    }

    /// <summary>Steps on a loss whose elements are independent, of either curvature.</summary>
    private static string Run(DimerOptions options)
    {
        using Model model = new(Model.AwkwardSizes);
        using DualAdam optimizer = new(model.Set);
        using DimerOptimizer dimer = new(optimizer, options);
        float[][] curvatures = [.. Model.AwkwardSizes.Select((size, tensor) => Model.Values(size, seed: 70 + tensor))];
        for (int step = 0; step < 5; step++)
        {
            dimer.Step(() =>
            {
                for (int tensor = 0; tensor < curvatures.Length; tensor++)
                {
                    for (int i = 0; i < curvatures[tensor].Length; i++)
                    {
                        model.Gradients[tensor][i] = curvatures[tensor][i] * model.Parameters[tensor][i];
                    }
                }

                return 1;
            });
        }

        return DimerSnapshot.Of(dimer) + string.Join('\n', Enumerable.Range(0, dimer.ScopeCount).Select(dimer.GetStatus));
    }
}
