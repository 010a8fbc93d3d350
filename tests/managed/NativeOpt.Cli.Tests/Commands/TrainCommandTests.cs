using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Commands;

[Collection("settings of the process")] // they read and set the number of threads
public sealed class TrainCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Training_lowers_the_loss_and_leaves_its_files()
    {
        Shell cli = Train("--steps", "40", "--optimizer", "adam");
        Assert.Equal(0, cli.ExitCode);
        JsonElement result = Assert.Single(cli.Json().GetProperty("results").EnumerateArray());
        Assert.Equal("adam", result.GetProperty("optimizer").GetString());
        Assert.Equal("completed", result.GetProperty("end").GetString());
        Assert.Equal(40, result.GetProperty("steps").GetInt32());
        Assert.True(Loss(result, "validation_loss") < Loss(result, "first_validation_loss") - 0.5);
        Assert.True(Loss(result, "train_loss") < Loss(result, "first_train_loss") - 0.5);

        string[][] rows = ReadCsv();
        Assert.Equal(
            ["optimizer", "step", "learning_rate", "train_loss", "val_loss", "gradient_evaluations", "curvature"], rows[0]);
        Assert.All(rows.Skip(1), static row => Assert.Equal((row[1], ""), (row[5], row[6])));
        Assert.Equal(42, rows.Length);
        Assert.Equal(Loss(result, "first_train_loss"), float.Parse(rows[1][3], CultureInfo.InvariantCulture));
        Assert.Equal(Loss(result, "validation_loss"), double.Parse(rows[41][4], CultureInfo.InvariantCulture));

        XElement svg = XDocument.Load(_folder.File("out/losses.svg")).Root!;
        string[] texts = [.. svg.Elements().Where(static element => element.Name.LocalName == "text").Select(
            static element => element.Value)];
        Assert.Contains("adam, training", texts);
        Assert.Contains("adam, validation", texts);
        Assert.Contains("unigram entropy", texts);
        Assert.Contains(
            result.GetProperty("sample").GetString()!, File.ReadAllText(_folder.File("out/sample.txt")),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("deo-adam", "recommended", 3)]
    [InlineData("deo-sgd", "recommended", 3)]
    [InlineData("deo-adamw", "published", 2)]
    [InlineData("deo-dualadam", "published", 2)]
    public void A_dimer_counts_its_gradients_and_shows_its_curvature(string optimizer, string settings, int gradientsOfUpdate)
    {
        JsonElement results = Train(
            "--compare", $"adam,{optimizer}", "--steps", "20", "--dimer", settings, "--dimer-interval", "5")
            .Json().GetProperty("results");
        JsonElement result = results[1];
        Assert.Equal(20, result.GetProperty("steps").GetInt32());
        Assert.Equal(16 + (4 * gradientsOfUpdate), result.GetProperty("gradient_evaluations").GetInt32());
        Assert.Equal(20, results[0].GetProperty("gradient_evaluations").GetInt32());
        Assert.Equal(JsonValueKind.Null, results[0].GetProperty("curvature").ValueKind);

        string[][] rows = [.. ReadCsv().Where(row => row[0] == optimizer)];
        Assert.Equal(21, rows.Length);
        Assert.All(rows, static row => Assert.Equal(int.Parse(row[1], CultureInfo.InvariantCulture) is 0 or 5 or 10 or 15, row[6] != ""));
        Assert.Equal("0", rows[0][5]);
        Assert.Equal(gradientsOfUpdate.ToString(CultureInfo.InvariantCulture), rows[1][5]);
        Assert.Equal(rows[20][5], result.GetProperty("gradient_evaluations").GetRawText());
        Assert.Equal(result.GetProperty("curvature").GetDouble(), double.Parse(rows[15][6], CultureInfo.InvariantCulture));

        string[] texts = [.. XDocument.Load(_folder.File("out/losses.svg")).Descendants().Where(
            static element => element.Name.LocalName == "text").Select(static element => element.Value)];
        Assert.Contains("gradient evaluations", texts);
        Assert.Contains("Curvature along the dimer's direction", texts);
        Assert.Contains(optimizer, texts);
    }

    [Theory]
    [InlineData("--dimer", "published")]
    [InlineData("--dimer-interval", "3")]
    public void Settings_of_a_dimer_need_one(string option, string value)
    {
        Shell cli = Shell.Run("train", "--optimizer", "adam", option, value, "--out", _folder.File("out"));
        Assert.Equal(2, cli.ExitCode);
        Assert.Contains("deo-", cli.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder.File("out")));
    }

    [Fact]
    public void Text_for_people_has_header_progress_table_and_sample_but_no_escape_sequences()
    {
        Shell cli = Shell.Run("train", "--model", "tiny", "--steps", "20", "--out", _folder.File("out"));
        Assert.Equal(0, cli.ExitCode);
        Assert.DoesNotContain('\e', cli.Output);
        Assert.DoesNotContain('\r', cli.Output);
        string[] expected =
        [
            "characters", "unigram entropy", "parameters", "adamw step 0/20: val ", "adamw step 20/20: train ", "tokens/s",
            "of step", "a sample", "losses.csv",
        ];
        foreach (string text in expected)
        {
            Assert.Contains(text, cli.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Comparison_starts_from_the_same_weights_and_batches()
    {
        JsonElement results = Train("--compare", "adam,sgd,dualadam,invadam", "--steps", "12").Json().GetProperty("results");
        Assert.Equal(4, results.GetArrayLength());
        foreach (JsonElement result in results.EnumerateArray())
        {
            Assert.Equal(Loss(results[0], "first_train_loss"), Loss(result, "first_train_loss"));
            Assert.Equal(Loss(results[0], "first_validation_loss"), Loss(result, "first_validation_loss"));
        }

        // … and then goes different ways.
        Assert.Equal(4, results.EnumerateArray().Select(static result => Loss(result, "validation_loss")).Distinct().Count());
        Assert.Equal(4.0 / 12, results[2].GetProperty("switching_rate").GetDouble());
        Assert.Equal(JsonValueKind.Null, results[0].GetProperty("switching_rate").ValueKind);

        string[][] rows = ReadCsv();
        Assert.Equal(1 + (4 * 13), rows.Length);
        Assert.Equal(rows[1][3], rows[14][3]);
        Assert.NotEqual(rows[3][3], rows[16][3]);
    }

    [Fact]
    public void Losses_have_the_same_bits_with_any_number_of_threads()
    {
        string[] all = ["1", "2", "3"];
        string[] losses =
        [
            .. all.Select(threads =>
            {
                Train("--steps", "6", "--compare", "adamw,dualadam", "--threads", threads);
                return File.ReadAllText(_folder.File("out/losses.csv"));
            }),
        ];
        Assert.Equal(losses[0], losses[1]);
        Assert.Equal(losses[0], losses[2]);
        Train("--steps", "6", "--compare", "adamw,dualadam", "--seed", "2");
        Assert.NotEqual(losses[0], File.ReadAllText(_folder.File("out/losses.csv")));
    }

    /// <summary>What a bfloat16 lacks of a float32 is as good as that float32; and it is not nothing.</summary>
    [Theory]
    [InlineData("adamw")]
    [InlineData("dualadam")]
    [InlineData("sgd")]
    [InlineData("deo-adam")]
    public void Remainders_give_the_losses_of_float32_masters_bit_for_bit(string optimizer)
    {
        const int Steps = 40;
        uint[] float32 = Losses();
        uint[] remainders = Losses("--dtype", "bfloat16", "--master", "remainder");
        Assert.Equal(Losses("--dtype", "bfloat16", "--master", "float32"), remainders);
        Assert.Equal(remainders, Losses("--dtype", "bfloat16"));

        uint[] nearest = Losses("--dtype", "bfloat16", "--master", "none");
        string[] stochastic = ["--dtype", "bfloat16", "--master", "none", "--stochastic-rounding"];
        uint[] random = Losses(stochastic);
        uint[][] all = [float32, remainders, nearest, random];
        Assert.Equal(4, all.Select(static losses => string.Join(' ', losses)).Distinct().Count());

        // Equal seeds give equal random numbers. The first loss is of rounded weights, before any step.
        Assert.Equal(random, Losses(stochastic));
        Assert.Equal(remainders[0], nearest[0]);
        Assert.Equal(remainders[0], random[0]);
        Assert.NotEqual(remainders[0], float32[0]);
        Assert.All(all, static losses =>
            Assert.True(BitConverter.UInt32BitsToSingle(losses[^1]) < BitConverter.UInt32BitsToSingle(losses[0])));

        uint[] Losses(params string[] args)
        {
            Train(["--steps", $"{Steps}", "--optimizer", optimizer, .. args]);

            // The file's decimals say which float it was.
            uint[] bits =
            [
                .. ReadCsv().Skip(1).SkipLast(1).Select(static row =>
                    BitConverter.SingleToUInt32Bits(float.Parse(row[3], CultureInfo.InvariantCulture))),
            ];
            Assert.Equal(Steps, bits.Length);
            return bits;
        }
    }

    /// <summary>
    /// Shorter states take what they should, give other losses than float32 ones (so they are there), and learn nearly as
    /// well: within 0.1 nats after 60 steps, of the 2 and more that are learned by then.
    /// </summary>
    [Theory]
    [InlineData("adamw")]
    [InlineData("invadam")]
    [InlineData("dualadam")]
    [InlineData("sgd")]
    [InlineData("deo-adam")]
    public void States_of_fewer_bits_learn_nearly_as_well(string optimizer)
    {
        JsonElement float32 = Run();
        JsonElement bfloat16 = Run("--state-dtype", "bfloat16");
        JsonElement dynamic8 = Run("--state-dtype", "dynamic8", "--min-dynamic8-elements", "0");
        JsonElement large = Run("--state-dtype", "dynamic8", "--min-dynamic8-elements", "2000");
        JsonElement[] all = [float32, bfloat16, dynamic8, large];
        Assert.Equal(4, all.Select(static result => Loss(result, "validation_loss")).Distinct().Count());
        Assert.All(all, result => Assert.InRange(
            Loss(result, "validation_loss") - Loss(float32, "validation_loss"), -0.1, 0.1));

        // A dimer's vectors are of the parameters' type in all of them. Padding to 64 bytes is a little of a small model.
        long dimer = optimizer.StartsWith("deo-", StringComparison.Ordinal) ? Bytes(Run("--optimizer", "deo-adam")) - Bytes(
            Run("--optimizer", "adam")) : 0;
        long states = Bytes(float32) - dimer;
        Assert.InRange((Bytes(bfloat16) - dimer) / (double)states, 0.5, 0.51);
        Assert.InRange((Bytes(dynamic8) - dimer) / (double)states, 0.254, 0.275);
        Assert.InRange(Bytes(large), Bytes(dynamic8) + 1, Bytes(bfloat16));

        static long Bytes(JsonElement result) => result.GetProperty("optimizer_bytes").GetInt64();

        JsonElement Run(params string[] args) => Train(
            ["--steps", "60", .. args.Contains("--optimizer") ? args : ["--optimizer", optimizer, .. args]])
            .Json().GetProperty("results")[0];
    }

    [Fact]
    public void The_summary_says_how_states_are_stored()
    {
        Assert.Equal(("float32", null, "float32"), Stored());
        Assert.Equal(("bfloat16", null, "float32, bfloat16 states"), Stored("--state-dtype", "bfloat16"));
        Assert.Equal(
            ("bfloat16", null, "float32, bfloat16 states, rounded at random"),
            Stored("--state-dtype", "bfloat16", "--stochastic-rounding-states"));
        Assert.Equal(("dynamic8", null, "float32, dynamic8 states"), Stored("--state-dtype", "dynamic8"));
        Assert.Equal(
            ("dynamic8", 0, "bfloat16 with remainders, dynamic8 states"),
            Stored("--dtype", "bfloat16", "--state-dtype", "dynamic8", "--min-dynamic8-elements", "0"));

        (string?, long?, string) Stored(params string[] args)
        {
            JsonElement json = Train(["--steps", "1", .. args]).Json();
            string text = Shell.Run(
                ["train", "--model", "tiny", "--steps", "1", "--out", _folder.File("out"), .. args]).Output;
            Assert.Contains($"states        {json.GetProperty("state_dtype").GetString()}", text, StringComparison.Ordinal);
            string line = text.Split('\n').Single(static line => line.StartsWith("adamw: ", StringComparison.Ordinal));
            JsonElement minimum = json.GetProperty("min_dynamic8_elements");
            return (
                json.GetProperty("state_dtype").GetString(),
                minimum.ValueKind == JsonValueKind.Null ? null : minimum.GetInt64(),
                line["adamw: ".Length..line.IndexOf(", 1 steps", StringComparison.Ordinal)]);
        }
    }

    [Fact]
    public void The_summary_says_how_parameters_are_stored()
    {
        Assert.Equal(("float32", "none", false), Stored());
        Assert.Equal(("bfloat16", "remainder", false), Stored("--dtype", "bfloat16"));
        Assert.Equal(("bfloat16", "float32", false), Stored("--dtype", "bfloat16", "--master", "float32"));
        Assert.Equal(("bfloat16", "none", false), Stored("--dtype", "bfloat16", "--master", "none"));
        Assert.Equal(
            ("bfloat16", "none", true), Stored("--dtype", "bfloat16", "--master", "none", "--stochastic-rounding"));
        string text = Shell.Run(
            "train", "--model", "tiny", "--steps", "1", "--dtype", "bfloat16", "--compare", "adam,sgd", "--out",
            _folder.File("out")).Output;
        Assert.Contains("adam: bfloat16 with remainders, 1 steps", text, StringComparison.Ordinal);
        Assert.Contains("sgd: bfloat16 with remainders, 1 steps", text, StringComparison.Ordinal);

        (string?, string?, bool) Stored(params string[] args)
        {
            JsonElement json = Train(["--steps", "1", .. args]).Json();
            return (
                json.GetProperty("dtype").GetString(),
                json.GetProperty("master").GetString(),
                json.GetProperty("stochastic_rounding").GetBoolean());
        }
    }

    [Fact]
    public void Switching_rate_makes_a_difference()
    {
        double fast = Validate("--optimizer", "dualadam", "--switching-rate", "1");
        double slow = Validate("--optimizer", "dualadam", "--switching-rate", "8e-5");
        Assert.True(fast < slow);

        // The first step of a switching rate of 1 is Adam already.
        Assert.Equal(fast, Validate("--optimizer", "adam"));

        double Validate(params string[] args) => Loss(Train(["--steps", "10", "--learning-rate", "0.003", .. args]));
    }

    [Fact]
    public void Cancellation_ends_the_run_with_its_files()
    {
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        Shell cli = Shell.RunUntil(
            stop.Token, "train", "--model", "tiny", "--steps", "1000000", "--compare", "adam,sgd", "--json", "--out",
            _folder.File("out"));
        Assert.Equal(130, cli.ExitCode);
        JsonElement result = Assert.Single(cli.Json().GetProperty("results").EnumerateArray());
        Assert.Equal("cancelled", result.GetProperty("end").GetString());
        Assert.InRange(result.GetProperty("steps").GetInt32(), 0, 999_999);
        Assert.Equal(result.GetProperty("steps").GetInt32() + 2, ReadCsv().Length);
        Assert.True(File.Exists(_folder.File("out/losses.svg")));
        Assert.True(File.Exists(_folder.File("out/sample.txt")));
    }

    [Fact]
    public void A_command_that_was_stopped_goes_on_and_does_nothing_twice()
    {
        string text = _folder.Write("text.txt", string.Concat(Enumerable.Range(0, 300).Select(static i => $"{i} and {i * i}\n")));
        string[] args = ["--steps", "20", "--save", "--text", text, "--compare"];
        JsonElement[] whole = [.. Train([.. args, "adam,sgd,lion"]).Json().GetProperty("results").EnumerateArray()];
        byte[] losses = File.ReadAllBytes(_folder.File("out/losses.csv"));
        Directory.Delete(_folder.File("out"), recursive: true);

        Shell stopped = Shell.RunUntil(
            new CancellationToken(canceled: true), ["train", "--model", "tiny", "--out", _folder.File("out"), .. args, "adam,sgd,lion"]);
        Assert.Equal(130, stopped.ExitCode);
        Assert.True(File.Exists(_folder.File("out/adam.checkpoint")));
        Refuse("steps, 20 there and 21 here", "--steps", "21");
        Refuse("text_sha256", "--text", _folder.Write("other.txt", new string('a', 1000)));
        Refuse("training.precision.state_type", "--state-dtype", "bfloat16");
        Refuse("learning_rate, null there and 0.1 here", "--learning-rate", "0.1");
        Assert.Equal(0, Train([.. args, "adam,sgd", "--resume"]).ExitCode);
        Assert.False(File.Exists(_folder.File("out/adam.checkpoint")));
        Refuse("save, true there and false here", "--steps", "20");

        Shell resumed = Train([.. args, "adam,sgd,lion", "--resume"]);
        Assert.Contains("adam: finished before", resumed.Error, StringComparison.Ordinal);
        Assert.Contains("sgd: finished before", resumed.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("lion: finished before", resumed.Error, StringComparison.Ordinal);
        Assert.Equal(losses, File.ReadAllBytes(_folder.File("out/losses.csv")));
        Assert.Equal(
            whole.Select(static run => run.GetProperty("sample").GetString()),
            resumed.Json().GetProperty("results").EnumerateArray().Select(static run => run.GetProperty("sample").GetString()));

        // A model that is wanted and gone is trained again.
        File.Delete(_folder.File("out/sgd.safetensors"));
        Assert.DoesNotContain(
            "sgd: finished before", Train([.. args, "adam,sgd,lion", "--resume"]).Error, StringComparison.Ordinal);
        Assert.True(File.Exists(_folder.File("out/sgd.safetensors")));

        void Refuse(string difference, params string[] other) => Shell.Run(
            [
                "train", "--model", "tiny", "--out", _folder.File("out"), "--compare", "adam,sgd,lion", "--resume",
                .. other.Contains("--steps") ? [] : (string[])["--steps", "20"],
                .. other.Contains("--text") ? [] : (string[])["--text", text],
                .. difference.StartsWith("save", StringComparison.Ordinal) ? [] : (string[])["--save"],
                .. other,
            ]).AssertRefused(2, "--resume", difference);
    }

    [SkippableFact]
    public void The_process_ends_in_order_at_the_first_interrupt_signal()
    {
        Skip.If(OperatingSystem.IsWindows(), "There is no kill command.");
        using var process = new Process
        {
            StartInfo = new ProcessStartInfo(
                "dotnet",
                [
                    "exec", Path.Combine(AppContext.BaseDirectory, "NativeOpt.Cli.dll"), "train", "--model", "tiny", "--steps",
                    "1000000", "--json", "--out", _folder.File("out"),
                ])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            },
        };
        process.Start();
        while (process.StandardError.ReadLine()?.Contains("step 0/", StringComparison.Ordinal) == false)
        {
        }

        if (IgnoresInterruptSignals(process))
        {
            process.Kill();
            Skip.If(true, "Whoever started the tests has made their processes ignore SIGINT, as a shell script does with what it runs by '&'.");
        }

        Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)]).Dispose();
        using var document = JsonDocument.Parse(process.StandardOutput.ReadToEnd());
        process.WaitForExit();
        Assert.Equal(130, process.ExitCode);
        Assert.Equal("cancelled", document.RootElement.GetProperty("results")[0].GetProperty("end").GetString());
        Assert.True(File.Exists(_folder.File("out/losses.csv")));
    }

    // Linux says it in hexadecimal, a bit for each signal; SIGINT is the second.
    private static bool IgnoresInterruptSignals(Process process)
    {
        string status = $"/proc/{process.Id}/status";
        string? ignored = File.Exists(status)
            ? File.ReadLines(status).FirstOrDefault(static line => line.StartsWith("SigIgn:", StringComparison.Ordinal))
            : null;
        return ignored is not null && (Convert.ToUInt64(ignored["SigIgn:".Length..].Trim(), 16) & 0b10) != 0;
    }

    [Fact]
    public void A_loss_that_is_not_finite_ends_its_optimizer_only()
    {
        Shell cli = Train("--compare", "sgd,adam", "--learning-rate", "1e20", "--steps", "10");
        Assert.Equal(1, cli.ExitCode);
        JsonElement results = cli.Json().GetProperty("results");
        Assert.Equal(2, results.GetArrayLength());
        Assert.Equal("diverged", results[0].GetProperty("end").GetString());
        Assert.Contains("--learning-rate", results[0].GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.True(results[0].GetProperty("steps").GetInt32() < 10);
        Assert.True(File.Exists(_folder.File("out/losses.svg")));

        Shell forPeople = Shell.Run(
            "train", "--model", "tiny", "--optimizer", "sgd", "--learning-rate", "1e20", "--steps", "10", "--out",
            _folder.File("out"));
        Assert.Equal(1, forPeople.ExitCode);
        Assert.Contains("not a finite number", forPeople.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Another_text_is_learned()
    {
        string text = string.Concat(Enumerable.Repeat("abcdefgh", 100));
        string file = _folder.Write("text.txt", text);
        JsonElement json = Train("--text", file, "--steps", "60", "--learning-rate", "0.01").Json();
        Assert.Equal(800, json.GetProperty("text").GetProperty("characters").GetInt32());
        Assert.Equal(9, json.GetProperty("text").GetProperty("vocabulary").GetInt32());
        Assert.Equal(Math.Log(8), json.GetProperty("text").GetProperty("unigram_entropy").GetDouble(), 12);
        Assert.True(Loss(json.GetProperty("results")[0], "validation_loss") < 0.5);
    }

    [Fact]
    public void Samples_hold_neither_half_characters_nor_what_controls_a_terminal()
    {
        // Two tokens make an emoji; a model that knows next to nothing draws them one by one.
        string file = _folder.Write("text.txt", string.Concat(Enumerable.Repeat("🙂\e[31m\0", 100)));
        JsonElement json = Train("--text", file, "--steps", "1").Json();
        string sample = json.GetProperty("results")[0].GetProperty("sample").GetString()!;
        Assert.DoesNotContain(sample, static character => char.IsControl(character) && character != '\n');
        Assert.Contains('\uFFFD', sample);
        Assert.Contains(sample, File.ReadAllText(_folder.File("out/sample.txt")), StringComparison.Ordinal);
    }

    [Fact]
    public void Bad_arguments_are_named_with_the_remedy_before_anything_is_done()
    {
        string missing = _folder.File("missing.txt");
        Refuse(["--text", missing], "--text", missing);
        Refuse(["--text", _folder.Path], "--text");
        Refuse(["--text", _folder.Write("short.txt", "too short")], "--text", "9 characters", "at least");
        Refuse(["--optimizer", "adma"], "--optimizer adma", string.Join(", ", OptimizerPresets.OfOneCall.Select(static preset => preset.Name)));
        Refuse(["--compare", "adam,quux"], "--compare adam,quux", string.Join(", ", OptimizerPresets.OfOneCall.Select(static preset => preset.Name)));
        Refuse(["--compare", "adam,adam"], "--compare adam,adam", "each once");
        Refuse(["--compare", "adam,sgd", "--optimizer", "adam"], "--optimizer", "--compare");
        Refuse(["--steps", "0"], "--steps 0", "from 1");
        Refuse(["--steps", "many"], "--steps many", "from 1");
        Refuse(["--steps"], "--steps");
        Refuse(["--seed", "-1"], "--seed -1", "from 0");
        Refuse(["--threads", "0"], "--threads 0", "from 1 to 1024");
        Refuse(["--learning-rate", "0"], "--learning-rate 0", "above 0");
        Refuse(["--learning-rate", "NaN"], "--learning-rate NaN", "finite");
        Refuse(["--switching-rate", "0.1"], "--switching-rate", "dualadam");
        Refuse(["--dtype", "float16"], "--dtype float16", "write float32 or bfloat16");
        Refuse(["--dtype", "bfloat16", "--master", "half"], "--master half", "write remainder, float32 or none");
        Refuse(["--master", "remainder"], "--master", "--dtype bfloat16");
        Refuse(["--dtype", "float32", "--master", "none"], "--master", "--dtype bfloat16");
        Refuse(["--stochastic-rounding"], "--stochastic-rounding", "--dtype bfloat16");
        Refuse(["--dtype", "bfloat16", "--stochastic-rounding"], "--stochastic-rounding", "--master none");
        Refuse(
            ["--dtype", "bfloat16", "--master", "float32", "--stochastic-rounding"], "--stochastic-rounding", "--master none");
        Refuse(["--stochastic-rounding-states"], "--stochastic-rounding-states", "float32", "--state-dtype bfloat16");
        Refuse(["--state-dtype", "float8"], "--state-dtype float8", "write float32, bfloat16, float16 or dynamic8");
        Refuse(["--min-dynamic8-elements", "0"], "--min-dynamic8-elements", "--state-dtype dynamic8");
        Refuse(["--device", "gpu"], "--device gpu", "cpu, cuda or cuda:N");
        Refuse(["--model", "huge"], "huge", "tiny");
        if (Device.Count(Backend.Cuda) == 0)
        {
            Refuse(["--device", "cuda"], "--device cuda", "Use --device cpu");
        }

        Assert.False(Path.Exists(_folder.File("out")));
        string file = _folder.Write("a file", "");
        Shell.Run("train", "--out", Path.Combine(file, "below")).AssertRefused(2, "--out", file);

        void Refuse(string[] args, params string[] words) =>
            Shell.Run(["train", "--out", _folder.File("out"), .. args]).AssertRefused(2, words);
    }

    [SkippableTheory]
    [InlineData("float32", "float32")]
    [InlineData("bfloat16", "float32")]
    [InlineData("float32", "dynamic8")]
    public void A_gpu_gives_the_same_losses_as_the_cpu(string dtype, string stateType)
    {
        Skip.If(Device.Count(Backend.Cuda) == 0, "No CUDA device.");
        Assert.Equal(On("cpu"), On("cuda"));

        double On(string device) => Loss(Train(
            "--steps", "10", "--dtype", dtype, "--state-dtype", stateType, "--device", device));
    }

    private static double Loss(JsonElement result, string name) => result.GetProperty(name).GetDouble();

    private static double Loss(Shell cli) => Loss(cli.Json().GetProperty("results")[0], "validation_loss");

    private Shell Train(params string[] args) =>
        Shell.Run(["train", "--model", "tiny", "--json", "--out", _folder.File("out"), .. args]);

    private string[][] ReadCsv() =>
        [.. File.ReadAllLines(_folder.File("out/losses.csv")).Select(static line => line.Split(','))];
}
