using NativeOpt.TorchSharp;
using TorchSharp;
using TorchSharp.Modules;
using Xunit;
using static TorchSharp.torch;
using TorchSharpState = NativeOpt.TorchSharpState;

namespace TorchSharpAdapter;

/// <summary>The examples of README.md, docs/torchsharp.md and docs/torch.md, compiled and run.</summary>
public class DocumentationExamples
{
    [TorchFact]
    public void One_changed_line()
    {
        random.manual_seed(1);
        using Sequential model = Models.Mlp();
        double before = Value(model);
        using var optimizer = nativeopt.optim.AdamW(model.parameters(), lr: 0.05); // it was torch.optim.AdamW(...)

        Train(model, optimizer);
        Assert.InRange(Value(model), 0, 0.5 * before);
    }

    [TorchFact]
    public void A_dimer()
    {
        using Sequential model = Models.Mlp();
        double before = Value(model);
        using var inner = nativeopt.optim.AdamW(model.named_parameters(), lr: 1e-2);
        using var dimer = nativeopt.optim.Dimer(inner, NativeOpt.DimerOptions.Recommended);
        for (int step = 0; step < 50; step++)
        {
            // A dimer needs the gradient at more than one point in some steps, so that it takes a closure.
            using Tensor? loss = dimer.step(() =>
            {
                inner.zero_grad();
                Tensor value = Loss(model);
                value.backward();
                return value;
            });
        }

        Assert.InRange(Value(model), 0, 0.99 * before);
    }

    [TorchFact]
    public void Groups_and_a_scheduler()
    {
        using Sequential model = Models.Mlp();
        double before = Value(model);
        using var optimizer = nativeopt.optim.AdamW(
            [
                new AdamW.ParamGroup(Matrices(model), lr: 1e-3, weight_decay: 0.1),
                new AdamW.ParamGroup(Biases(model), lr: 1e-3, weight_decay: 0),
            ]);
        var scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr: 1e-2, total_steps: 100);
        for (int step = 0; step < 100; step++)
        {
            TrainStep(model, optimizer);
            scheduler.step();
        }

        Assert.InRange(Value(model), 0, 0.5 * before);

        static Parameter[] Matrices(Sequential model) => [.. model.parameters().Where(static own => own.dim() == 2)];

        static Parameter[] Biases(Sequential model) => [.. model.parameters().Where(static own => own.dim() == 1)];
    }

    [TorchFact]
    public void Half_precision()
    {
        using Sequential half = Models.Mlp();
        half.to(ScalarType.BFloat16);
        double before = Value(half);
        StepOptions options = new() { MasterWeights = true, MaxGradNorm = 1 };
        using var optimizer = nativeopt.optim.AdamW(half.parameters(), lr: 1e-3, step_options: options);
        GradScaler scaler = new();
        for (int step = 0; step < 20; step++)
        {
            optimizer.zero_grad();
            using Tensor loss = Loss(half);
            scaler.scale(loss).backward();
            scaler.step(optimizer); // divides by the scale, clips, and skips itself where a gradient is not finite
            scaler.update();
        }

        Assert.InRange(Value(half), 0, 0.99 * before);
    }

    [TorchFact]
    public void State_files_without_an_optimizer_of_TorchSharp()
    {
        string previous = Environment.CurrentDirectory;
        DirectoryInfo folder = Directory.CreateTempSubdirectory();
        Environment.CurrentDirectory = folder.FullName;
        try
        {
            Parameter[] parameters = Models.Parameters(1, [3, 2]);
            using TorchSharp.Modules.Adam optimizer = optim.Adam(parameters);
            Models.SetGradients(1, parameters);
            optimizer.step();
            using NativeOpt.ParameterSet set = NativeOpt.ParameterSet.FromArrays([Models.Values(parameters[0])], [new float[6]]);
            using NativeOpt.Adam adam = new(set);
            ToAndFro(optimizer, adam);
            Assert.Equal(1, adam.StepCount);
        }
        finally
        {
            Environment.CurrentDirectory = previous;
            folder.Delete(recursive: true);
        }

        static void ToAndFro(OptimizerHelper optimizer, NativeOpt.Adam adam)
        {
            optimizer.save_state_dict("state.bin"); // TorchSharp's
            TorchSharpState.Load(adam, "state.bin"); // over the same parameters, in the order of optimizer.parameters()

            long[][] shapes = [.. optimizer.parameters().Select(parameter => parameter.shape)];
            TorchSharpState.Save(adam, "state.bin", shapes);
            optimizer.load_state_dict("state.bin");
        }
    }

    private static Tensor Loss(Sequential model)
    {
        random.manual_seed(2);
        ScalarType type = model.parameters().First().dtype;
        using Tensor x = randn(32, 8);
        using Tensor y = x.sum(1, keepdim: true).sin();
        return nn.functional.mse_loss(model.forward(x.to(type)), y.to(type));
    }

    private static double Value(Sequential model)
    {
        using Tensor loss = Loss(model);
        return loss.to(ScalarType.Float32).item<float>();
    }

    private static void TrainStep(Sequential model, optim.Optimizer optimizer)
    {
        optimizer.zero_grad();
        using Tensor loss = Loss(model);
        loss.backward();
        optimizer.step();
    }

    private static void Train(Sequential model, optim.Optimizer optimizer)
    {
        for (int step = 0; step < 100; step++)
        {
            TrainStep(model, optimizer);
        }
    }
}
