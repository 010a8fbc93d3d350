using NativeOpt.Cli.Commands;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>A row of the results, and of the JSON documents. Seconds are medians, spreads distances between quartiles.</summary>
/// <param name="Rule">What was timed.</param>
/// <param name="Backend">cpu or cuda.</param>
/// <param name="Isa">The instruction set of the kernels; of a GPU its architecture.</param>
/// <param name="Threads">The threads of NativeOpt and of the floor; null on a GPU.</param>
/// <param name="Shape">As the command line writes it.</param>
/// <param name="Elements">Of all tensors.</param>
/// <param name="Tensors">How many.</param>
/// <param name="Dtype">Of parameters and gradients.</param>
/// <param name="StateDtype">Of the states.</param>
/// <param name="Master">What is kept of parameters of 16 bits.</param>
/// <param name="Seconds">Of a step.</param>
/// <param name="Spread">Of the step's seconds.</param>
/// <param name="Rounds">The rounds that were measured.</param>
/// <param name="BytesPerElement">What a step reads and writes.</param>
/// <param name="GbPerS">10^9 bytes in a second, of NativeOpt.</param>
/// <param name="FloorGbPerS">Of the floor.</param>
/// <param name="FloorRatio">NativeOpt's over the floor's: 1 is as fast as memory is.</param>
/// <param name="FloorSeconds">Of the floor.</param>
/// <param name="FloorSpread">Of the floor's seconds.</param>
/// <param name="FloorForm">How the floor goes over memory; null on a GPU.</param>
/// <param name="Peers">The seconds of a step by other means, on one thread.</param>
/// <param name="PeerSpreads">Of those.</param>
/// <param name="Rounding">How bfloat16 parameters without master weights and bfloat16 states are rounded: nearest or random.</param>
internal sealed record BenchResult(
    string Rule,
    string Backend,
    string Isa,
    int? Threads,
    string Shape,
    long Elements,
    int Tensors,
    string Dtype,
    string StateDtype,
    string Master,
    double Seconds,
    double Spread,
    int Rounds,
    double BytesPerElement,
    double GbPerS,
    double FloorGbPerS,
    double FloorRatio,
    double FloorSeconds,
    double FloorSpread,
    string? FloorForm,
    IReadOnlyDictionary<string, double> Peers,
    IReadOnlyDictionary<string, double> PeerSpreads,
    string Rounding = BenchResult.Nearest)
{
    public const string Nearest = "nearest", Random = "random";


    /// <summary>What the times of a row come to.</summary>
    /// <param name="row">The row.</param>
    /// <param name="isa">What it ran on.</param>
    /// <param name="floorForm">How the floor went over memory.</param>
    /// <param name="rounds">The rounds.</param>
    /// <param name="timings">Of NativeOpt, of the floor, and of each peer.</param>
    public static BenchResult Of(
        BenchCase row, string isa, string? floorForm, int rounds, IReadOnlyList<(string Name, Timing Timing)> timings)
    {
        (Timing own, Timing floor) = (timings[0].Timing, timings[1].Timing);
        double bytesPerElement = row.Traffic.BytesPerElement;
        double gigabytes = bytesPerElement * row.Shape.ElementCount / 1e9;
        return new BenchResult(
            row.Rule.Name,
            CommonOptions.Name(row.Device.Backend),
            isa,
            row.Device.Backend == NativeOpt.Backend.Cpu ? row.Threads : null,
            row.Shape.Name,
            row.Shape.ElementCount,
            row.Shape.ElementCounts.Count,
            CommonOptions.Name(row.DType),
            CommonOptions.Name(row.StateType),
            CommonOptions.Name(row.MasterWeights),
            own.Median,
            own.Spread,
            rounds,
            bytesPerElement,
            gigabytes / own.Median,
            gigabytes / floor.Median,
            floor.Median / own.Median,
            floor.Median,
            floor.Spread,
            floorForm,
            timings.Skip(2).ToDictionary(static peer => peer.Name, static peer => peer.Timing.Median),
            timings.Skip(2).ToDictionary(static peer => peer.Name, static peer => peer.Timing.Spread),
            row.StochasticRounding ? Random : Nearest);
    }
}
