using Xunit;

namespace NativeOpt.Tests.Documentation;

/// <summary>The examples of docs/groups.md and docs/rules.md, compiled and run.</summary>
public class GuideExamples
{
    [Fact]
    public void Two_groups()
    {
        float[] body = [1, 2], head = [3], bodyGradient = new float[2], headGradient = new float[1];
        TensorOptions[] tensors = [new() { Name = "body" }, new() { Name = "head", Group = 1 }];
        using ParameterSet parameters = ParameterSet.FromArrays([body, head], [bodyGradient, headGradient], tensors);
        using AdamW optimizer = new(
            parameters, [new AdamWOptions { LearningRate = 1e-4 }, new AdamWOptions { Beta2 = 0.99, WeightDecay = 0 }]);
        for (int step = 0; step < 100; step++)
        {
            Backward();
            optimizer.Groups[1].LearningRate = 1e-3 * (1 - step / 100.0);
            optimizer.Step(); // of both groups, in one native call
        }

        // Gradients that do not change: each step is the learning rate.
        Assert.InRange(3 - head[0], 0.0500, 0.0510);
        Assert.InRange(1 - body[0], 0.0100, 0.0102); // and some decay

        void Backward()
        {
            Array.Fill(bodyGradient, 1);
            Array.Fill(headGradient, 1);
        }
    }

    [Fact]
    public void Taking_over()
    {
        float[] body = [1, 2], head = [3], bodyGradient = [1, 1], headGradient = [1];
        ParameterSet parameters = ParameterSet.FromArrays([body], [bodyGradient], [new() { Name = "body" }]);
        AdamW optimizer = new(parameters, new AdamWOptions { LearningRate = 1e-4 });
        Train(optimizer);

        // From here on there is a head, too.
        TensorOptions[] tensors = [new() { Name = "body" }, new() { Name = "head", Group = 1 }];
        ParameterSet moreParameters = ParameterSet.FromArrays([body, head], [bodyGradient, headGradient], tensors);
        AdamW next = new(moreParameters, [new AdamWOptions { LearningRate = 1e-4 }, new AdamWOptions()]);
        next.TakeOver(optimizer);
        optimizer.Dispose();
        parameters.Dispose();
        (parameters, optimizer) = (moreParameters, next);
        Train(optimizer);

        Assert.Equal([6, 3], optimizer.Groups.Select(static group => group.StepCount));
        Assert.InRange(1 - body[0], 6e-4, 6.1e-4);
        Assert.InRange(3 - head[0], 3e-3, 3.1e-3);
        optimizer.Dispose();
        parameters.Dispose();

        static void Train(AdamW optimizer)
        {
            for (int step = 0; step < 3; step++)
            {
                optimizer.Step();
            }
        }
    }

    [Fact]
    public void Any_rule_by_its_name()
    {
        float[] point = [1, 2], gradient = [1, 1];
        using ParameterSet parameters = ParameterSet.FromArrays([point], [gradient]);
        Rule rule = Rule.Get("dualadam");
        foreach (Hyperparameter hyperparameter in rule.Hyperparameters)
        {
            Console.WriteLine($"{hyperparameter.Name} is {hyperparameter.Range}: {hyperparameter.Meaning}");
        }

        using RuleOptimizer optimizer = new(
            parameters,
            new RuleOptions("dualadam")
            {
                LearningRate = 1e-2,
                Hyperparameters = new Dictionary<string, double> { ["beta1"] = 0.8, ["switching_rate"] = 1e-3 },
                Flags = ["amsgrad"],
            });
        optimizer.Groups[0]["beta1"] = 0.9; // between steps

        Assert.Contains(rule.Hyperparameters, static own => own.Name == "switching_rate");
        Assert.Equal(0.9, optimizer.Groups[0]["beta1"]);
        Assert.Equal(1e-3, optimizer.Groups[0]["switching_rate"]);
        Assert.Contains(StateRole.MaxExpAvgSq, optimizer.StateRoles);
        optimizer.Step();
        Assert.InRange(1 - point[0], 0.0099, 0.0101); // gradients of 1: both parts are the learning rate
    }
}
