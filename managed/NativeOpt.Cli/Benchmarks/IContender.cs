namespace NativeOpt.Cli.Benchmarks;

/// <summary>What takes turns with others in being timed.</summary>
internal interface IContender
{
    /// <summary>What tables call it.</summary>
    public string Name { get; }

    /// <summary>Does its work some times.</summary>
    /// <param name="repetitions">How often.</param>
    /// <returns>The seconds that all of them took.</returns>
    public double Run(int repetitions);
}
