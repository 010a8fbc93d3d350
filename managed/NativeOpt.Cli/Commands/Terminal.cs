using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Spectre.Console;

namespace NativeOpt.Cli.Commands;

/// <summary>
/// Where a command writes. With --json, standard output is for the one JSON document, and what is meant for people goes
/// to standard error.
/// </summary>
internal sealed class Terminal
{
    // Of a file or a pipe: wide enough that tables do not wrap.
    private const int WidthOfFile = 160;

    private readonly TextWriter _output;

    public Terminal(TextWriter output, TextWriter error, bool json)
    {
        _output = output;
        IsJson = json;
        TextWriter people = json ? error : output;
        IsInteractive = ReferenceEquals(people, Console.Out) ? !Console.IsOutputRedirected
            : ReferenceEquals(people, Console.Error) && !Console.IsErrorRedirected;
        People = CreateConsole(people, IsInteractive);
        People.Pipeline.Attach(new PrintableHook());
    }

    /// <summary>How JSON documents are written, and read again: then nothing may be missing.</summary>
    public static JsonSerializerOptions JsonOptions { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new FiniteConverter() },
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
        AllowDuplicateProperties = false,
    };

    /// <summary>Whether the result is a JSON document rather than text for people.</summary>
    public bool IsJson { get; }

    /// <summary>Whether lines can be drawn over: false for files and pipes.</summary>
    public bool IsInteractive { get; }

    /// <summary>What people read.</summary>
    public IAnsiConsole People { get; }

    /// <summary>Says where files are that were written; nothing if none were.</summary>
    public void ShowFiles(string? folder, IReadOnlyList<string> files)
    {
        if (files.Count > 0)
        {
            People.WriteLine($"written to {folder}: {string.Join(", ", files)}");
        }
    }

    /// <summary>Writes the JSON document. Numbers that JSON does not have (NaN and infinities) become null.</summary>
    public void WriteJson<T>(T value) => _output.WriteLine(ToJson(value));

    /// <summary>The JSON document itself, as <see cref="WriteJson"/> writes it.</summary>
    public static string ToJson<T>(T value) => JsonSerializer.Serialize(value, JsonOptions);

    private static IAnsiConsole CreateConsole(TextWriter writer, bool isInteractive)
    {
        var output = new AnsiConsoleOutput(writer);
        if (isInteractive)
        {
            return AnsiConsole.Create(new AnsiConsoleSettings { Out = output });
        }

        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = output,
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
        });
        console.Profile.Width = WidthOfFile;
        return console;
    }

    private sealed class FiniteConverter : JsonConverter<double>
    {
        public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            reader.GetDouble();

        public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options)
        {
            if (double.IsFinite(value))
            {
                writer.WriteNumberValue(value);
            }
            else
            {
                writer.WriteNullValue();
            }
        }
    }
}
