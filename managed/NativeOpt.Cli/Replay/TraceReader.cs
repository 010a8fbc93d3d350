using System.Text.Json;
using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Replay;

/// <summary>Reads trace files, strictly: a trace that is not wholly understood proves nothing.</summary>
internal static class TraceReader
{
    public const string Format = "nativeopt-trace/1";

    private static readonly string[] None = [];

    private static readonly JsonDocumentOptions DocumentOptions = new() { AllowDuplicateProperties = false };

    /// <summary>Reads a file.</summary>
    /// <exception cref="TraceFormatException">It cannot be read, or is no trace.</exception>
    /// <exception cref="UnsupportedTraceException">
    /// The library has no such rule. Which options, inputs and states such a rule has is unknown, so that nothing else is read.
    /// </exception>
    public static Trace Read(string path)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            using JsonDocument document = JsonDocument.Parse(file, DocumentOptions);
            return Read(new JsonNode(document.RootElement, ""));
        }
        catch (JsonException error)
        {
            throw new TraceFormatException($"not JSON: {error.Message}");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TraceFormatException($"cannot be read: {error.Message}");
        }
    }

    private static Trace Read(JsonNode root)
    {
        // First of all: another format may have anything else.
        if (root.Element.ValueKind == JsonValueKind.Object && root.Member("format").Text() is var format
            && format != Format)
        {
            throw new TraceFormatException($"format: \"{format}\" is not \"{Format}\"");
        }

        root.Object("format", "source", "optimizer", "dimer", "problem", "tensors", "steps", "tolerance");
        JsonNode optimizer = root.Member("optimizer");
        OptimizerPreset preset = TraceOptimizerFactory.Find(optimizer.Member("rule").Text());
        bool hasDimer = root.Has("dimer");
        TraceTensor[] tensors =
            [.. NotEmpty(root.Member("tensors")).Select(tensor => ReadTensor(tensor, hasDimer))];
        TraceDimer? dimer = root.Optional("dimer") is { } d ? ReadDimer(d) : null;
        TraceProblem? problem = root.Optional("problem") is { } p ? ReadProblem(p, tensors) : null;
        if (dimer is not null && problem is null)
        {
            throw root.Error("\"problem\" is missing; a dimer needs gradients where the replay displaces the parameters");
        }

        return new Trace(
            root.Member("source").Text(),
            TraceOptions.Read(optimizer, preset),
            dimer,
            problem,
            tensors,
            [.. NotEmpty(root.Member("steps")).Select(step => ReadStep(step, preset.Rule, tensors, problem, dimer))],
            ReadTolerance(root.Member("tolerance")));
    }

    private static JsonNode[] NotEmpty(JsonNode list) =>
        list.Items() is { Length: > 0 } items ? items : throw list.Error("at least one is needed");

    private static TraceDimer ReadDimer(JsonNode node)
    {
        node.Object(
            "scope", "interval", "displacement", "rotation_rate", "alpha", "force", "rotation", "correction", "angle",
            "rotations");
        return new TraceDimer(
            node.Member("scope").OneOf("global", "per-tensor") == "per-tensor",
            node.Member("interval").Integer(1),
            node.Member("displacement").Number(0),
            node.Member("rotation_rate").Number(0),
            node.Member("alpha").Number(0),
            node.Member("force").OneOf("difference", "per-displacement") == "per-displacement",
            node.Member("rotation").OneOf("minimum", "maximum") == "maximum")
        {
            Escape = node.Optional("correction")?.OneOf("published", "escape") == "escape",
            Angle = node.Optional("angle")?.OneOf("fixed-rate", "optimal", "conjugate") switch
            {
                "optimal" => RotationAngle.Optimal,
                "conjugate" => RotationAngle.Conjugate,
                _ => RotationAngle.FixedRate,
            },
            Rotations = node.Optional("rotations")?.Integer(1) ?? 1,
        };
    }

    private static TraceProblem ReadProblem(JsonNode node, TraceTensor[] tensors)
    {
        node.Object("kind", "hessian").Member("kind").OneOf("quadratic");
        int size = tensors.Sum(static tensor => tensor.Parameter.Length);
        return new TraceProblem(
            Numbers(node.Member("hessian"), checked(size * size), $"({size} x {size}) for tensors of {size} elements"));
    }

    private static TraceTensor ReadTensor(JsonNode node, bool hasDimer)
    {
        node.Object(hasDimer ? ["shape", "param", "direction"] : ["shape", "param"]);
        JsonNode shape = node.Member("shape");
        long count = 1;
        foreach (JsonNode size in shape.Items())
        {
            // Far above any trace; so the product cannot overflow.
            count = Math.Min(count * size.Integer(0), int.MaxValue);
        }

        string counted = $"in the shape {shape.Element.GetRawText()}";
        return new TraceTensor(
            Singles(node.Member("param"), (int)count, counted),
            hasDimer ? Singles(node.Member("direction"), (int)count, counted) : null);
    }

    private static TraceStep ReadStep(
        JsonNode node, Rule rule, TraceTensor[] tensors, TraceProblem? problem, TraceDimer? dimer)
    {
        string[] inputs = [.. rule.Inputs.Select(static input => input.Name)];
        node.Object(
            [
                "params", .. problem is null ? ["grads"] : None, .. dimer is null ? None : ["directions", "curvature"], .. inputs,
                "states",
            ]);
        return new TraceStep(
            problem is null ? PerTensor(node.Member("grads"), tensors, Singles) : null,
            PerTensor(node.Member("params"), tensors, Numbers),
            dimer is null ? null : PerTensor(node.Member("directions"), tensors, Numbers),
            dimer is null
                ? null
                : Numbers(node.Member("curvature"), dimer.PerTensor ? tensors.Length : 1, "of this scope"))
        {
            Inputs = inputs.Where(node.Has).ToDictionary(
                static name => name, name => PerTensor(node.Member(name), tensors, Singles)),
            States = node.Optional("states") is { } states ? ReadStates(states, rule, tensors) : [],
        };
    }

    private static Dictionary<string, double[][]> ReadStates(JsonNode node, Rule rule, TraceTensor[] tensors)
    {
        string[] states = [.. rule.States.Select(static state => state.Name)];
        string[] scalars = [.. rule.RunningScalars.Select(static scalar => scalar.Name)];
        string? other = node.Members().Except(states).Except(scalars).FirstOrDefault();
        if (other is not null)
        {
            throw new UnsupportedTraceException(
                rule.Name, $"the rule {rule.Name} has no state {other}; it has {string.Join(", ", states.Concat(scalars))}");
        }

        return states.Concat(scalars).Where(node.Has).ToDictionary(
            static name => name,
            name => states.Contains(name)
                ? PerTensor(node.Member(name), tensors, Numbers)
                : PerTensor<double>(node.Member(name), tensors, static (item, _, _) => [Scalar(item)]));
    }

    // A number, or an array of it alone.
    private static double Scalar(JsonNode node) =>
        (node.Element.ValueKind == JsonValueKind.Array ? node.Items(1, "of the running scalar")[0] : node).Number();

    private static Tolerance ReadTolerance(JsonNode node)
    {
        node.Object("rtol", "atol");
        return new Tolerance(node.Member("rtol").Number(0), node.Member("atol").Number(0));
    }

    private static T[][] PerTensor<T>(JsonNode node, TraceTensor[] tensors, Func<JsonNode, int, string, T[]> read) =>
        [.. node.Items(tensors.Length, "tensors")
            .Select((item, i) => read(item, tensors[i].Parameter.Length, "elements in the tensor"))];

    private static double[] Numbers(JsonNode node, int count, string counted) =>
        [.. node.Items(count, counted).Select(static item => item.Number())];

    private static float[] Singles(JsonNode node, int count, string counted) =>
        [.. node.Items(count, counted).Select(static item => item.Single())];
}
