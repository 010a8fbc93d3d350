// Trains with TorchSharp's AdamW and with NativeOpt's, from the same weights and on the same batches, side by side:
//
//   dotnet run -c Release --project samples/TorchSharp -- mlp      a perceptron on pictures of ten kinds
//   dotnet run -c Release --project samples/TorchSharp -- gpt      a small GPT on text
//   dotnet run -c Release --project samples/TorchSharp -- bench    optimizers alone, on several shapes
//   dotnet run -c Release --project samples/TorchSharp -- accuracy how far the optimizers are from each other and from float64
//   dotnet run -c Release --project samples/TorchSharp -- gc       training under continuous garbage collection
//   dotnet run -c Release --project samples/TorchSharp -- resnet   how well NativeOpt's optimizers generalise: a residual network on images
//
// The folder of images behind the last one is as nativeopt classify reads it, with the number of training images behind it; without
// it, images are synthetic. A number behind the others is that of training steps, of rounds of the benchmark, or of runs.
using System.Globalization;
using NativeOpt.Cli.Classification.Data;
using TorchSharpSample;
using static TorchSharp.torch;

string? number = args is ["resnet", ..] ? args.ElementAtOrDefault(2) : args.ElementAtOrDefault(1);
int? count = number is null ? null : int.Parse(number, CultureInfo.InvariantCulture);
switch (args.FirstOrDefault())
{
    case "mlp":
        new Comparison("perceptron", new PictureTask()).Run(count ?? 300);
        return 0;
    case "gpt":
        new Comparison("gpt", new TextTask()).Run(count ?? 200);
        return 0;
    case "bench":
        set_num_threads(2);
        Bench.Run(count ?? 20);
        return 0;
    case "accuracy":
        Accuracy.Run(count ?? 200);
        return 0;
    case "gc":
        Garbage.Run(count ?? 30);
        return 0;
    case "resnet":
        ImageData images = args.Length > 1 ? ImageFolder.Read(args[1]) : SyntheticImages.Make(seed: 1);
        new ResNetTable(images, count ?? Math.Min(images.Train.Count, 5000)).Run();
        return 0;
    case "gc-run":
        Garbage.Train(args[2], count!.Value);
        return 0;
    default:
        Console.Error.WriteLine("usage: mlp [STEPS] | gpt [STEPS] | bench [ROUNDS] | accuracy [STEPS] | gc [RUNS] | resnet [DIR [IMAGES]]");
        return 2;
}
