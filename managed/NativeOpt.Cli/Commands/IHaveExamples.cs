namespace NativeOpt.Cli.Commands;

/// <summary>A command whose help ends with examples.</summary>
internal interface IHaveExamples
{
    /// <summary>Whole lines, the heading included.</summary>
    public string Examples { get; }
}
