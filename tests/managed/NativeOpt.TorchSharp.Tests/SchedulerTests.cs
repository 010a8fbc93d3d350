using NativeOpt.TorchSharp;
using Xunit;
using static TorchSharp.torch.optim;
using Parameter = TorchSharp.Modules.Parameter;

namespace TorchSharpAdapter;

/// <summary>TorchSharp's schedulers on the optimizers.</summary>
public class SchedulerTests
{
    private const int Steps = 40;

    public static TheoryData<string, string> Schedules => new()
    {
        { "AdamW decay", "LambdaLR" },
        { "Adam", "StepLR" },
        { "Adam", "CosineAnnealingLR" },
        { "Adam", "OneCycleLR" },
        { "AdamW decay", "OneCycleLR" },
        { "SGD momentum", "OneCycleLR" },
        { "SGD momentum", "CyclicLR" },
        { "Adam", "ReduceLROnPlateau" },
        { "SGD", "LinearLR" },
        { "SGD", "ExponentialLR" },
        { "Adam", "MultiStepLR" },
        { "Adam", "PolynomialLR" },
        { "Adam", "SequentialLR" },
        { "NAdam decay", "OneCycleLR" },
        { "Adamax", "OneCycleLR" },
        { "Adagrad decay", "LambdaLR" },
        { "Adadelta", "StepLR" },
        { "RMSProp", "OneCycleLR" },
        { "RMSProp all", "CyclicLR" },
        { "Rprop", "CosineAnnealingLR" },
        { "ASGD averages", "LambdaLR" },
    };

    [TorchTheory]
    [MemberData(nameof(Schedules))]
    public void A_schedule_gives_the_steps_of_TorchSharp(string pair, string schedule)
    {
        Parameter[] ours = Models.Parameters(3, [33], [5, 4]);
        Parameter[] torchs = Models.Parameters(3, [33], [5, 4]);
        (Optimizer a, Optimizer b) = OptimizerTests.Make(pair, ours, torchs);
        Action<double> next = Make(schedule, a), expected = Make(schedule, b);
        HashSet<double> rates = [];
        for (int step = 0; step < Steps; step++)
        {
            Models.SetGradients(step, ours, torchs);
            a.step();
            rates.Add(a.ParamGroups.First().LearningRate);
            next(1 + (step % 5));

            // TorchSharp's ASGD follows a schedule one step later, since a step computes the rate of the next one.
            bool isLate = pair.StartsWith("ASGD", StringComparison.Ordinal);
            if (isLate)
            {
                expected(1 + (step % 5));
            }

            b.step();
            if (!isLate)
            {
                expected(1 + (step % 5));
            }
        }

        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, 1e-6);
        Assert.True(rates.Count > 1, "The learning rate did not change.");
    }

    [TorchFact]
    public void A_dimer_offers_schedulers_what_its_optimizer_does()
    {
        Optimizer adam = nativeopt.optim.Dimer(nativeopt.optim.Adam(Models.Parameters(1, [3])));
        Assert.Throws<ArgumentException>(() => Make("CyclicLR", adam)); // as TorchSharp's Adam
        Action<double> next = Make("OneCycleLR", adam);
        double before = ((IBetas)adam.ParamGroups.First()).Betas.Item1;
        next(1);
        Assert.NotEqual(before, ((IBetas)adam.ParamGroups.First()).Betas.Item1);

        Optimizer sgd = nativeopt.optim.Dimer(nativeopt.optim.SGD(Models.Parameters(1, [3]), 0.1, 0.9));
        next = Make("CyclicLR", sgd);
        before = ((IMomentum)sgd.ParamGroups.First()).Momentum;
        next(1);
        Assert.NotEqual(before, ((IMomentum)sgd.ParamGroups.First()).Momentum);

        Optimizer adan = nativeopt.optim.Dimer(nativeopt.optim.Adan(Models.Parameters(1, [3])));
        Make("CyclicLR", adan)(1);
        Assert.Equal(0.5, ((IMomentum)nativeopt.optim.Dimer(nativeopt.optim.SGD(Models.Parameters(1, [3]), 0.1, 0.5))).Momentum);
        Assert.Equal((0.5, 0.6), ((IBetas)nativeopt.optim.Dimer(
            nativeopt.optim.Adam(Models.Parameters(1, [3]), beta1: 0.5, beta2: 0.6))).Betas);
    }

    private static Action<double> Make(string schedule, Optimizer optimizer)
    {
        lr_scheduler.LRScheduler made = schedule switch
        {
            "LambdaLR" => lr_scheduler.LambdaLR(optimizer, static step => 1.0 / (1 + step)),
            "StepLR" => lr_scheduler.StepLR(optimizer, 7, 0.5),
            "CosineAnnealingLR" => lr_scheduler.CosineAnnealingLR(optimizer, Steps),
            "OneCycleLR" => lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps: Steps + 1),
            "CyclicLR" => lr_scheduler.CyclicLR(optimizer, 0.001, 0.05, step_size_up: 7),
            "LinearLR" => lr_scheduler.LinearLR(optimizer, 0.3, 1, Steps),
            "ExponentialLR" => lr_scheduler.ExponentialLR(optimizer, 0.9),
            "MultiStepLR" => lr_scheduler.MultiStepLR(optimizer, [5, 9], 0.3),
            "PolynomialLR" => lr_scheduler.PolynomialLR(optimizer, Steps),
            "SequentialLR" => lr_scheduler.SequentialLR(
                optimizer, [lr_scheduler.LinearLR(optimizer, 0.3, 1, 5), lr_scheduler.ExponentialLR(optimizer, 0.9)], [5]),
            "ReduceLROnPlateau" => lr_scheduler.ReduceLROnPlateau(optimizer, patience: 2),
            _ => throw new ArgumentOutOfRangeException(nameof(schedule)),
        };
        return loss =>
        {
            if (schedule == "ReduceLROnPlateau")
            {
                made.step(loss);
            }
            else
            {
                made.step();
            }
        };
    }
}
