using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Saving, loading, and going on as if nothing had happened.</summary>
public class DimerStateTests
{
    private static readonly DimerOptions Options = new()
    {
        Interval = 3,
        Displacement = 0.5,
        RotationRate = 0.4,
        Alpha = 1.5,
        Seed = 11,
    };

    private static readonly string[] OptimizerNames = [.. Rules.OneOfEach.Keys];

    /// <summary>Every optimizer and scope; parameters are the host's business, or in the file.</summary>
    public static TheoryData<string, DimerScope, RotationAngle, bool> Cases
    {
        get
        {
            TheoryData<string, DimerScope, RotationAngle, bool> cases = [];
            foreach (string name in OptimizerNames)
            {
                foreach (DimerScope scope in Enum.GetValues<DimerScope>())
                {
                    cases.Add(name, scope, RotationAngle.FixedRate, true);
                    cases.Add(name, scope, RotationAngle.Optimal, false);
                    cases.Add(name, scope, RotationAngle.Conjugate, false);
                }
            }

            return cases;
        }
    }

    /// <summary>After 0 steps nothing is measured yet; after 3 and 6 an update is due, elsewhere it is in between.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Resumes_bit_for_bit(string name, DimerScope scope, RotationAngle angle, bool includeParameters)
    {
        DimerOptions options = Options with { Scope = scope, Angle = angle, Correction = DimerCorrection.Escape };
        using TemporaryFolder folder = new();
        string path = folder.File("state.safetensors");
        using DimerSetup whole = new(options, name);
        whole.Step(12);
        foreach (int saveAt in new[] { 0, 1, 2, 3, 5, 6 })
        {
            byte[] parameters;
            long evaluations;
            string saved;
            using (DimerSetup first = new(options, name))
            {
                first.Step(saveAt);
                first.Dimer.Save(path, includeParameters);
                parameters = first.Model.ParameterBytes();
                evaluations = first.Dimer.GradientEvaluations;
                saved = DimerSnapshot.Of(first.Dimer);
            }

            foreach (bool isFresh in new[] { true, false })
            {
                // Another seed, and what is there before does not matter.
                using DimerSetup second = new(options with { Seed = 99 }, name);
                second.Step(isFresh ? 0 : 4);
                second.Dimer.Load(path);
                if (!includeParameters)
                {
                    SetParameters(second, parameters);
                }

                Assert.Equal((saveAt, evaluations), (second.Dimer.StepCount, second.Dimer.GradientEvaluations));
                Assert.Equal(options, second.Dimer.Options);
                Assert.Equal(saved, DimerSnapshot.Of(second.Dimer));
                Assert.Equal(saveAt % 3 == 0, second.Dimer.NeedsDisplacedGradient);
                second.Step(12 - saveAt);
                Assert.Equal(DimerSnapshot.Of(whole.Dimer), DimerSnapshot.Of(second.Dimer));
                Assert.Equal(Statuses(whole.Dimer), Statuses(second.Dimer));
            }
        }
    }

    /// <summary>Between two updates it is the saved curvature that says whether to escape.</summary>
    [Theory]
    [InlineData(DimerScope.Global)]
    [InlineData(DimerScope.PerTensor)]
    public void The_curvature_counts_after_a_resume(DimerScope scope)
    {
        DimerOptions options = DimerOptions.Recommended with { Scope = scope, Interval = 10, Displacement = 0.5 };
        using DimerSetup whole = new(options, nameof(Sgd));
        whole.Step(2);
        int negative = Enumerable.Range(0, whole.Dimer.ScopeCount).First(i => whole.Dimer.GetStatus(i).Curvature < 0);
        byte[] file = Saved(whole.Dimer, includeParameters: true);
        whole.Step(3);
        Assert.Equal(DimerSnapshot.Of(whole.Dimer), Resumed(file));

        // Without it, or with the other sign, the same steps lead elsewhere: the comparison above says something.
        foreach (string other in new[] { "NaN", "0.25", "0" })
        {
            byte[] changed = Forge(file, header =>
            {
                string[] numbers = ((string)header["__metadata__"]!["dimer_curvature"]!).Split(' ');
                numbers[negative] = other;
                header["__metadata__"]!["dimer_curvature"] = string.Join(' ', numbers);
            });
            Assert.NotEqual(Parameters(DimerSnapshot.Of(whole.Dimer)), Parameters(Resumed(changed)));
        }

        static string Parameters(string snapshot) => snapshot[..snapshot.IndexOf("displaced", StringComparison.Ordinal)];

        string Resumed(byte[] data)
        {
            using DimerSetup second = new(options, nameof(Sgd));
            second.Dimer.Load(new MemoryStream(data));
            second.Step(3);
            return DimerSnapshot.Of(second.Dimer);
        }
    }

    [Theory]
    [InlineData(DimerScope.Global)]
    [InlineData(DimerScope.PerTensor)]
    public void Curvatures_and_counts_survive_exactly(DimerScope scope)
    {
        using DimerSetup setup = new(Options with { Scope = scope });
        byte[] file = Saved(setup.Dimer);
        foreach (string number in new[] { "NaN", "0", "-0", "5E-324", "-1.7976931348623157E+308", "0.1", "-0.30000000000000004" })
        {
            byte[] changed = Forge(file, header =>
            {
                JsonNode metadata = header["__metadata__"]!;
                metadata["dimer_curvature"] = string.Join(' ', Enumerable.Repeat(number, setup.Dimer.ScopeCount));
                metadata["dimer_seed"] = "18446744073709551615";
                metadata["dimer_step"] = "9223372036854775806";
                metadata["dimer_gradient_evaluations"] = "9223372036854775807";
            });
            setup.Dimer.Load(new MemoryStream(changed));
            Check(setup.Dimer);
            byte[] again = Saved(setup.Dimer);
            setup.Dimer.Load(new MemoryStream(file));
            Assert.Equal(0, setup.Dimer.StepCount);
            setup.Dimer.Load(new MemoryStream(again));
            Check(setup.Dimer);

            void Check(DimerOptimizer dimer)
            {
                Assert.Equal(
                    (ulong.MaxValue, long.MaxValue - 1, long.MaxValue),
                    (dimer.Options.Seed, dimer.StepCount, dimer.GradientEvaluations));
                Assert.All(
                    Enumerable.Range(0, dimer.ScopeCount),
                    i => Assert.Equal(
                        number, dimer.GetStatus(i).Curvature.ToString("R", System.Globalization.CultureInfo.InvariantCulture)));
            }
        }
    }

    [Fact]
    public void Holds_what_it_says()
    {
        using DimerSetup setup = new(Options);
        setup.Step(4);
        JsonObject header = Header(Saved(setup.Dimer, includeParameters: true));
        JsonNode metadata = header["__metadata__"]!;
        Assert.Equal("global", (string?)metadata["dimer_scope"]);
        Assert.Equal("11", (string?)metadata["dimer_seed"]);
        Assert.Equal("4", (string?)metadata["dimer_step"]);
        Assert.Equal("6", (string?)metadata["dimer_gradient_evaluations"]);
        Assert.Equal(
            setup.Dimer.GetStatus().Curvature,
            double.Parse((string)metadata["dimer_curvature"]!, System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal("4", (string?)metadata["step"]);
        string[] expected =
        [
            .. Enumerable.Range(0, 4).SelectMany(
                i => new[] { $"{i}.param", $"{i}.exp_avg", $"{i}.exp_avg_sq", $"{i}.max_exp_avg_sq", $"{i}.direction" }),
        ];
        Assert.Equal(expected.Order(), header.Select(entry => entry.Key).Where(key => key != "__metadata__").Order());
        using DimerSetup perTensor = new(Options with { Scope = DimerScope.PerTensor });
        metadata = Header(Saved(perTensor.Dimer))["__metadata__"]!;
        Assert.Equal(("per-tensor", "NaN NaN NaN NaN"), ((string?)metadata["dimer_scope"], (string?)metadata["dimer_curvature"]));
    }

    [Fact]
    public void Leaves_parameters_alone_unless_they_are_in_the_file()
    {
        using DimerSetup setup = new(Options);
        setup.Step(2);
        byte[] file = Saved(setup.Dimer);
        setup.Step(2);
        byte[] parameters = setup.Model.ParameterBytes();
        setup.Dimer.Load(new MemoryStream(file));
        Assert.Equal((2L, 2L), (setup.Dimer.StepCount, setup.Optimizer.StepCount));
        Assert.Equal(parameters, setup.Model.ParameterBytes());
    }

    [Fact]
    public void Streams_need_not_seek_and_may_begin_in_the_middle()
    {
        using DimerSetup setup = new(Options);
        setup.Step(4);
        using MemoryStream stream = new();
        stream.Write("before"u8);
        setup.Dimer.Save(stream, includeParameters: true);
        string saved = DimerSnapshot.Of(setup.Dimer);
        foreach (bool seekable in new[] { true, false })
        {
            setup.Step(1);
            Assert.NotEqual(saved, DimerSnapshot.Of(setup.Dimer));
            stream.Position = 6;
            setup.Dimer.Load(seekable ? stream : new ForwardOnlyStream(stream));
            Assert.Equal(saved, DimerSnapshot.Of(setup.Dimer));
        }
    }

    /// <summary>A file is of the optimizer alone or with its dimer; loading half of it would pass for a resume.</summary>
    [Fact]
    public void Plain_files_and_dimer_files_are_told_apart()
    {
        using DimerSetup setup = new(Options);
        setup.Step(2);
        byte[] ofDimer = Saved(setup.Dimer);
        using MemoryStream plain = new();
        setup.Optimizer.Save(plain);
        setup.Step(1);
        Assert.Contains(
            nameof(DimerOptimizer),
            DimerSnapshot.Unchanged<InvalidDataException>(
                setup.Dimer, () => setup.Optimizer.Load(new MemoryStream(ofDimer))).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "without a dimer",
            DimerSnapshot.Unchanged<InvalidDataException>(
                setup.Dimer, () => setup.Dimer.Load(new MemoryStream(plain.ToArray()))).Message,
            StringComparison.Ordinal);

        // Each with its own is fine; the optimizer's leaves the dimer where it is.
        setup.Optimizer.Load(new MemoryStream(plain.ToArray()));
        Assert.Equal((2L, 3L), (setup.Optimizer.StepCount, setup.Dimer.StepCount));
        setup.Dimer.Load(new MemoryStream(ofDimer));
        Assert.Equal((2L, 2L), (setup.Optimizer.StepCount, setup.Dimer.StepCount));
    }

    [Fact]
    public void Files_of_another_scope_rule_or_model_are_refused()
    {
        using DimerSetup source = new(Options);
        source.Step(4);
        byte[] file = Saved(source.Dimer, includeParameters: true);
        Refuses("dimer_scope is \"global\", not \"per-tensor\"", new DimerSetup(Options with { Scope = DimerScope.PerTensor }));
        Refuses("rule is \"adam\", not \"sgd\"", new DimerSetup(Options, nameof(Sgd)));
        using DimerSetup perTensor = new(Options with { Scope = DimerScope.PerTensor });
        file = Saved(perTensor.Dimer);
        Refuses("dimer_scope is \"per-tensor\", not \"global\"", new DimerSetup(Options));

        using Model model = new(7, 0, 5, 8);
        using Adam optimizer = new(model.Set, new AdamOptions { Amsgrad = true });
        file = Saved(source.Dimer);
        using (DimerOptimizer dimer = new(optimizer, Options))
        {
            Assert.Contains(
                "F32 [9] in the file; the optimizer has F32 [8]",
                DimerSnapshot.Unchanged<InvalidDataException>(dimer, () => dimer.Load(new MemoryStream(file))).Message,
                StringComparison.Ordinal);
        }

        using Model fewer = new(7, 0, 5);
        using Adam fewerOptimizer = new(fewer.Set, new AdamOptions { Amsgrad = true });
        using DimerOptimizer fewerDimer = new(fewerOptimizer, Options with { Scope = DimerScope.PerTensor });
        file = Saved(perTensor.Dimer);
        Assert.Contains(
            "dimer_curvature has 4 numbers; the dimer has 3",
            DimerSnapshot.Unchanged<InvalidDataException>(fewerDimer, () => fewerDimer.Load(new MemoryStream(file))).Message,
            StringComparison.Ordinal);

        void Refuses(string message, DimerSetup target)
        {
            using (target)
            {
                target.Step(2);
                Assert.Contains(
                    message,
                    DimerSnapshot.Unchanged<InvalidDataException>(
                        target.Dimer, () => target.Dimer.Load(new MemoryStream(file))).Message,
                    StringComparison.Ordinal);
            }
        }
    }

    /// <summary>Each is a change of one entry of the metadata; null takes it out.</summary>
    [Theory]
    [InlineData("dimer_scope", "both", "dimer_scope")]
    [InlineData("dimer_scope", "Global", "dimer_scope")]
    [InlineData("dimer_scope", "", "dimer_scope")]
    [InlineData("dimer_scope", null, "dimer_scope")]
    [InlineData("dimer_seed", "-1", "dimer_seed")]
    [InlineData("dimer_seed", "18446744073709551616", "dimer_seed")]
    [InlineData("dimer_seed", "1.0", "dimer_seed")]
    [InlineData("dimer_seed", " 1", "dimer_seed")]
    [InlineData("dimer_seed", "", "dimer_seed")]
    [InlineData("dimer_seed", null, "dimer_seed")]
    [InlineData("dimer_step", "x", "dimer_step")]
    [InlineData("dimer_step", "-1", "dimer_step")]
    [InlineData("dimer_step", "1e3", "dimer_step")]
    [InlineData("dimer_step", "9223372036854775808", "dimer_step")]
    [InlineData("dimer_step", null, "dimer_step")]
    [InlineData("dimer_gradient_evaluations", "-2", "dimer_gradient_evaluations")]
    [InlineData("dimer_gradient_evaluations", "many", "dimer_gradient_evaluations")]
    [InlineData("dimer_gradient_evaluations", null, "dimer_gradient_evaluations")]
    [InlineData("dimer_curvature", "", "dimer_curvature has 0 numbers")]
    [InlineData("dimer_curvature", "0.5 0.5", "dimer_curvature has 2 numbers")]
    [InlineData("dimer_curvature", "inf", "dimer_curvature has \"inf\"")]
    [InlineData("dimer_curvature", "Infinity", "dimer_curvature has \"Infinity\"")]
    [InlineData("dimer_curvature", "-Infinity", "dimer_curvature has \"-Infinity\"")]
    [InlineData("dimer_curvature", "1e309", "dimer_curvature has \"1e309\"")]
    [InlineData("dimer_curvature", "0,5", "dimer_curvature has \"0,5\"")]
    [InlineData("dimer_curvature", "0x1p3", "dimer_curvature has \"0x1p3\"")]
    [InlineData("dimer_curvature", "small", "dimer_curvature has \"small\"")]
    [InlineData("dimer_curvature", null, "dimer_curvature")]
    [InlineData("dimer_alpha", "5", "dimer_alpha")]
    [InlineData("step", "-4", "step")]
    [InlineData("beta1_product", "2", "beta1_product")]
    public void Refuses_metadata(string key, string? value, string message) => Refuses(message, header =>
    {
        JsonObject metadata = header["__metadata__"]!.AsObject();
        if (value is null)
        {
            Assert.True(metadata.Remove(key));
        }
        else
        {
            metadata[key] = value;
        }
    });

    [Fact]
    public void Refuses_numbers_where_text_should_be() =>
        Refuses("dimer_step", header => header["__metadata__"]!["dimer_step"] = 4);

    [Theory]
    [InlineData("0.direction")]
    [InlineData("1.direction")] // of no elements
    [InlineData("3.direction")]
    public void Refuses_files_without_a_direction(string name)
    {
        Refuses($"no \"{name}\"", header => header.Remove(name));
        Refuses($"no \"{name}\"", header => Rename(header, name, name.Replace("direction", "directions", StringComparison.Ordinal)));
        Refuses(
            $"\"{name}\" is F16",
            header => header[name]!["dtype"] = "F16");
        Refuses("F32 [1]", header => header[name]!["shape"] = new JsonArray(1));

        static void Rename(JsonObject header, string from, string to)
        {
            JsonNode entry = header[from]!.DeepClone();
            header.Remove(from);
            header[to] = entry;
        }
    }

    [Fact]
    public void Refuses_directions_in_the_file_of_a_plain_optimizer()
    {
        using DimerSetup setup = new(Options);
        setup.Step(4);
        byte[] file = Forge(Saved(setup.Dimer), header =>
        {
            JsonObject metadata = header["__metadata__"]!.AsObject();
            foreach (string key in metadata.Select(entry => entry.Key).Where(key => key.StartsWith("dimer_", StringComparison.Ordinal)).ToArray())
            {
                metadata.Remove(key);
            }
        });
        Assert.Contains(
            "\"0.direction\", which",
            DimerSnapshot.Unchanged<InvalidDataException>(
                setup.Dimer, () => setup.Optimizer.Load(new MemoryStream(file))).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_a_file_at_every_truncation()
    {
        using DimerSetup setup = new(Options, nameof(Sgd));
        setup.Step(4);
        byte[] file = Saved(setup.Dimer);
        setup.Step(1);
        string before = DimerSnapshot.Of(setup.Dimer);
        for (int length = 0; length < file.Length; length++)
        {
            Assert.Throws<InvalidDataException>(() => setup.Dimer.Load(new MemoryStream(file[..length])));
            Assert.Throws<InvalidDataException>(
                () => setup.Dimer.Load(new ForwardOnlyStream(new MemoryStream(file[..length]))));
        }

        Assert.Throws<InvalidDataException>(() => setup.Dimer.Load(new MemoryStream([.. file, 0])));
        Assert.Equal(before, DimerSnapshot.Of(setup.Dimer));
        setup.Dimer.Load(new MemoryStream(file));
        Assert.NotEqual(before, DimerSnapshot.Of(setup.Dimer));
    }

    /// <summary>By the header's digest: even another digit of the curvature.</summary>
    [Fact]
    public void Refuses_a_file_with_any_changed_byte_of_the_header()
    {
        using DimerSetup setup = new(Options, nameof(Sgd));
        setup.Step(4);
        byte[] file = Saved(setup.Dimer);
        int end = sizeof(ulong) + (int)BinaryPrimitives.ReadUInt64LittleEndian(file);
        string before = DimerSnapshot.Of(setup.Dimer);
        for (int position = 0; position < end; position++)
        {
            foreach (byte flip in new byte[] { 0x01, 0x20, 0x80 })
            {
                file[position] ^= flip;
                Assert.Throws<InvalidDataException>(() => setup.Dimer.Load(new MemoryStream(file)));
                file[position] ^= flip;
            }
        }

        Assert.Equal(before, DimerSnapshot.Of(setup.Dimer));
    }

    [Fact]
    public void A_cancelled_save_leaves_the_old_file()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("state.safetensors");
        using DimerSetup setup = new(Options);
        setup.Dimer.Save(path);
        byte[] old = File.ReadAllBytes(path);
        setup.Step(1);
        CancellationToken cancelled = new(canceled: true);
        DimerSnapshot.Unchanged<OperationCanceledException>(setup.Dimer, () => setup.Dimer.Save(path, cancellationToken: cancelled));
        DimerSnapshot.Unchanged<OperationCanceledException>(setup.Dimer, () => setup.Dimer.Load(path, cancellationToken: cancelled));
        DimerSnapshot.Unchanged<OperationCanceledException>(
            setup.Dimer, () => setup.Dimer.Load(new MemoryStream(old), cancellationToken: cancelled));
        Assert.Equal(old, File.ReadAllBytes(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Replaces_the_file_and_names_the_one_that_is_refused()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("state");
        using DimerSetup setup = new(Options);
        setup.Dimer.Save(path);
        setup.Step(1);
        setup.Dimer.Save(path);
        Assert.Equal([path], Directory.GetFileSystemEntries(folder.Path));
        setup.Step(1);
        setup.Dimer.Load(path);
        Assert.Equal(1, setup.Dimer.StepCount);
        File.WriteAllText(path, "no state");
        Assert.StartsWith(
            path + ": ",
            DimerSnapshot.Unchanged<InvalidDataException>(setup.Dimer, () => setup.Dimer.Load(path)).Message,
            StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => setup.Dimer.Load(folder.File("missing")));
    }

    [Fact]
    public void A_failing_stream_changes_nothing()
    {
        using DimerSetup setup = new(Options);
        setup.Step(2);
        byte[] saved = Saved(setup.Dimer, includeParameters: true);
        setup.Step(1);

        // Another curvature may have a few digits less.
        for (int room = 0; room < saved.Length - 64; room += 29)
        {
            DimerSnapshot.Unchanged<IOException>(
                setup.Dimer, () => setup.Dimer.Save(new FailingStream(saved, room), includeParameters: true));
            DimerSnapshot.Unchanged<IOException>(setup.Dimer, () => setup.Dimer.Load(new FailingStream(saved, room)));
        }
    }

    /// <summary>A checkpoint of two mixed steps would be worse than none.</summary>
    [Fact]
    public void A_step_during_a_save_is_noticed()
    {
        using DimerSetup setup = new(Options);
        setup.Step(1);
        Assert.Throws<ConcurrentUseException>(() => setup.Dimer.Save(new SteppingStream(setup.Optimizer)));
    }

    /// <summary>A refused file does not choose the direction: the seed can be set still.</summary>
    [Fact]
    public void A_refused_file_leaves_the_seed_open()
    {
        using DimerSetup setup = new(Options);
        Assert.Throws<InvalidDataException>(() => setup.Dimer.Load(new MemoryStream([1, 2, 3])));
        setup.Dimer.Options = Options with { Seed = 12 };
        using DimerSetup expected = new(Options with { Seed = 12 });
        Assert.Equal(DimerSnapshot.Directions(expected.Dimer), DimerSnapshot.Directions(setup.Dimer));
    }

    private static string Statuses(DimerOptimizer dimer) =>
        string.Join('\n', Enumerable.Range(0, dimer.ScopeCount).Select(dimer.GetStatus));

    private static void SetParameters(DimerSetup setup, byte[] bytes)
    {
        int at = 0;
        foreach (float[] values in setup.Model.Parameters)
        {
            Buffer.BlockCopy(bytes, at, values, 0, Buffer.ByteLength(values));
            at += Buffer.ByteLength(values);
        }
    }

    private static byte[] Saved(DimerOptimizer dimer, bool includeParameters = false)
    {
        using MemoryStream stream = new();
        dimer.Save(stream, includeParameters);
        return stream.ToArray();
    }

    private static JsonObject Header(byte[] file)
    {
        int length = (int)BinaryPrimitives.ReadUInt64LittleEndian(file);
        return JsonNode.Parse(Encoding.UTF8.GetString(file, sizeof(ulong), length))!.AsObject();
    }

    /// <summary>Changes a file's header, as another writer would have written it: without the digest.</summary>
    private static byte[] Forge(byte[] file, Action<JsonObject> change)
    {
        JsonObject header = Header(file);
        Assert.True(header["__metadata__"]!.AsObject().Remove("header_sha256"));
        change(header);
        byte[] text = Encoding.UTF8.GetBytes(header.ToJsonString());
        byte[] length = new byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)text.Length);
        return [.. length, .. text, .. file.AsSpan(sizeof(ulong) + (int)BinaryPrimitives.ReadUInt64LittleEndian(file))];
    }

    private static void Refuses(string message, Action<JsonObject> change)
    {
        using DimerSetup setup = new(Options);
        setup.Step(4);
        byte[] file = Saved(setup.Dimer, includeParameters: true);

        // The forgery alone is no reason to refuse.
        byte[] unchanged = Forge(file, _ => { });
        setup.Dimer.Load(new MemoryStream(unchanged));
        setup.Step(1);
        byte[] changed = Forge(file, change);
        Assert.Contains(
            message,
            DimerSnapshot.Unchanged<InvalidDataException>(setup.Dimer, () => setup.Dimer.Load(new MemoryStream(changed))).Message,
            StringComparison.Ordinal);
        DimerSnapshot.Unchanged<InvalidDataException>(
            setup.Dimer, () => setup.Dimer.Load(new ForwardOnlyStream(new MemoryStream(changed))));
    }
}
