namespace NativeOpt.Cli.Benchmarks;

/// <summary>What is timed does not do what it should: the message says where.</summary>
internal sealed class BenchFault(string message) : Exception(message);
