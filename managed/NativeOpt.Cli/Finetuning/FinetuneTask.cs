using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Finetuning;

/// <summary>What is fine-tuned, and on what.</summary>
/// <param name="StartName">What the model is called.</param>
/// <param name="Start">The model.</param>
/// <param name="TextName">What the text is called.</param>
/// <param name="Data">The text.</param>
/// <param name="UnknownCharacters">How many of the text's characters the model's vocabulary lacks.</param>
internal sealed record FinetuneTask(string StartName, SavedGpt Start, string TextName, FinetuneData Data, int UnknownCharacters);
