using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.State;

/// <summary>What a state file is made of: others can read and write it, and whatever is wrong with one is found.</summary>
public class StateFileFormatTests
{
    private const string Metadata =
        """ "__metadata__": {"format": "nativeopt-state/2", "rule": "adam", "step": "5", "beta1_product": "0.5", "beta2_product": "2.5e-1"}""";

    // Of two tensors, "a" with 2 elements and "b" with 1.
    private const string Entries =
        """
        "a.exp_avg": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "a.exp_avg_sq": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
        "b.exp_avg": {"dtype": "F32", "shape": [1], "data_offsets": [16, 20]},
        "b.exp_avg_sq": {"dtype": "F32", "shape": [1], "data_offsets": [20, 24]}
        """;

    private const string Good = $"{{{Metadata},{Entries}}}";

    private static readonly float[] Data = [1, 2, 3, 4, 5, 6];

    [Fact]
    public void Reads_a_file_of_other_origin()
    {
        using Target target = new();
        target.Optimizer.Load(new MemoryStream(Build(Good)));
        Assert.Equal((5, 0.5, 0.25), (target.Optimizer.StepCount, target.Optimizer.Beta1Product, target.Optimizer.Beta2Product));
        Assert.Equal([1, 2], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvg, 0)));
        Assert.Equal([3, 4], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvgSq, 0)));
        Assert.Equal([5], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvg, 1)));
        Assert.Equal([6], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvgSq, 1)));
    }

    [Fact]
    public void Tensors_may_come_in_any_order_and_the_metadata_last()
    {
        string entries = string.Join(
            ",",
            """ "b.exp_avg_sq": {"data_offsets": [4, 8], "shape": [1], "dtype": "F32"} """,
            """ "b.exp_avg": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} """,
            """ "a.exp_avg": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]} """,
            """ "a.exp_avg_sq": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]} """);
        using Target target = new();
        target.Optimizer.Load(new MemoryStream(Build($"{{{entries}, {Metadata}}}   \n")));
        Assert.Equal([5, 6], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvg, 0)));
        Assert.Equal([3, 4], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvgSq, 0)));
        Assert.Equal([1], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvg, 1)));
        Assert.Equal([2], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvgSq, 1)));
    }

    /// <summary>Each replaces a part of a good header, and is refused with a message that names the difference.</summary>
    [Theory]
    [InlineData("nativeopt-state/2", "nativeopt-state/1", "format is \"nativeopt-state/1\"")]
    [InlineData("\"format\": \"nativeopt-state/2\", ", "", "no format")]
    [InlineData("\"rule\": \"adam\"", "\"rule\": \"sgd\"", "rule is \"sgd\", not \"adam\"")]
    [InlineData("\"rule\": \"adam\", ", "", "no rule")]
    [InlineData("\"rule\"", "\"note\": \"x\", \"rule\"", "\"note\"")]
    [InlineData("\"5\"", "\"-5\"", "step")]
    [InlineData("\"5\"", "\"5.0\"", "step")]
    [InlineData("\"5\"", "\" 5\"", "step")]
    [InlineData("\"5\"", "\"9223372036854775808\"", "step")]
    [InlineData("\"5\"", "\"\"", "step")]
    [InlineData("\"5\"", "5", "step")]
    [InlineData("\"step\": \"5\", ", "", "no step")]
    [InlineData("\"0.5\"", "\"NaN\"", "beta1_product")]
    [InlineData("\"0.5\"", "\"1.5\"", "beta1_product")]
    [InlineData("\"0.5\"", "\"-0.5\"", "beta1_product")]
    [InlineData("\"0.5\"", "\"0,5\"", "beta1_product")]
    [InlineData("\"2.5e-1\"", "\"Infinity\"", "beta2_product")]
    [InlineData("\"2.5e-1\"", "null", "beta2_product")]
    [InlineData("a.exp_avg\"", "c.exp_avg\"", "no \"a.exp_avg\"")]
    [InlineData("b.exp_avg_sq\"", "b.max_exp_avg_sq\"", "no \"b.exp_avg_sq\"")]
    [InlineData("\"F32\"", "\"F16\"", "F16 [2]")]
    [InlineData("\"shape\": [2]", "\"shape\": [3]", "F32 [3]")]
    [InlineData("\"shape\": [2]", "\"shape\": [2, 1]", "F32 [2, 1]")]
    [InlineData("\"shape\": [2]", "\"shape\": []", "F32 []")]
    [InlineData("\"shape\": [2]", "\"shape\": [2.0]", "a.exp_avg.shape")]
    [InlineData("\"shape\": [2]", "\"shape\": [-2]", "a.exp_avg.shape")]
    [InlineData("\"shape\": [2]", "\"shape\": [\"2\"]", "a.exp_avg.shape")]
    [InlineData("\"shape\": [2]", "\"shape\": 2", "a.exp_avg.shape")]
    [InlineData("\"shape\": [2], ", "", "needs a dtype")]
    [InlineData("\"dtype\": \"F32\", ", "", "needs a dtype")]
    [InlineData(", \"data_offsets\": [0, 8]", "", "needs a dtype")]
    [InlineData("\"dtype\": \"F32\"", "\"dtype\": 32", "a.exp_avg.dtype")]
    [InlineData("\"dtype\": \"F32\"", "\"dtype\": \"F32\", \"strides\": [1]", "strides")]
    [InlineData("[0, 8]", "[0, 8, 8]", "data_offsets")]
    [InlineData("[0, 8]", "[0]", "data_offsets")]
    [InlineData("[0, 8]", "[8, 0]", "8 to 0")]
    [InlineData("[0, 8]", "[0, 4]", "0 to 4")]
    [InlineData("[0, 8]", "[0, 9223372036854775807]", "a.exp_avg")]
    [InlineData("[0, 8]", "[0, 9223372036854775808]", "data_offsets")]
    [InlineData("[8, 16]", "[0, 8]", "begins at byte")] // overlaps
    [InlineData("[8, 16]", "[9, 17]", "begins at byte")] // leaves a gap
    [InlineData("[0, 8]", "[24, 32]", "begins at byte")] // leaves a gap at the start
    [InlineData("[16, 20]", "[40, 44]", "begins at byte")] // lies behind the end
    [InlineData("\"b.exp_avg\"", "\"a.exp_avg\"", "occurs twice")]
    [InlineData("\"step\"", "\"rule\": \"adam\", \"step\"", "occurs twice")]
    [InlineData("\"dtype\"", "\"dtype\": \"F32\", \"dtype\"", "occurs twice")]
    [InlineData("\"a.exp_avg\":", "\"__metadata__\": {}, \"a.exp_avg\":", "occurs twice")]
    [InlineData("\"step\"", "\"header_sha256\": \"00\", \"step\"", "header_sha256")]
    [InlineData("\"a.exp_avg\":", "\"a.exp_avg\": [], \"x\":", "a.exp_avg")]
    [InlineData("\"a.exp_avg\":", "\"c.exp_avg\": {\"dtype\": \"F32\", \"shape\": [0], \"data_offsets\": [0, 0]}, \"a.exp_avg\":", "\"c.exp_avg\", which")]
    [InlineData("\"a.exp_avg\":", "\"a.param\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [24, 32]}, \"a.exp_avg\":", "no \"b.param\"")]
    [InlineData("__metadata__", "__metadata", "__metadata")]
    [InlineData("{ \"__metadata__\"", "[ \"__metadata__\"", "not well-formed")]
    [InlineData("[20, 24]}", "[20, 24]},", "not well-formed")]
    [InlineData("[20, 24]}", "[20, 24]}}", "not well-formed")]
    [InlineData("[20, 24]}", "[20, 24]", "not well-formed")]
    [InlineData("adam", "\\uD800", "not well-formed")]
    [InlineData("{ \"__metadata__\"", "// comment\n{ \"__metadata__\"", "not well-formed")]
    public void Refuses_headers(string part, string replacement, string message)
    {
        Assert.Contains(part, Good, StringComparison.Ordinal);
        int position = Good.IndexOf(part, StringComparison.Ordinal);
        string header = Good[..position] + replacement + Good[(position + part.Length)..];
        Refuses(message, Build(header));
    }

    /// <summary>A terminal that shows the message must not obey what a file says, and must not be flooded by it.</summary>
    [Theory]
    [InlineData("\"a.exp_avg\":", "\"a\\u001b[31m\": {\"dtype\": \"F32\", \"shape\": [0], \"data_offsets\": [0, 0]}, \"a.exp_avg\":", "\"a\\u001B[31m\", which")]
    [InlineData("\"a.exp_avg\":", "\"a\\u009b\": 1, \"a.exp_avg\":", "\"a\\u009B\" is Number")]
    [InlineData("\"a.exp_avg\":", "\"a\\u202e\": {}, \"a.exp_avg\":", "\"a\\u202E\" needs a dtype")]
    [InlineData("\"a.exp_avg\":", "\"\\u0007\": {}, \"\\u0007\": {}, \"a.exp_avg\":", "\\u0007")]
    [InlineData("\"dtype\": \"F32\"", "\"dtype\": \"F32\", \"\\u0008\": [1]", "\\u0008")]
    [InlineData("\"dtype\": \"F32\"", "\"dtype\": \"F\\u001b[2J\"", "dtype \"F\\u001B[2J\"")]
    [InlineData("\"shape\": [2]", "\"shape\": [2], \"\\u000d\": 3", "\\u000D")]
    [InlineData("\"format\": \"nativeopt-state/2\"", "\"format\": \"\\u001b\"", "format is \"\\u001B\"")]
    [InlineData("\"step\": \"5\"", "\"step\": \"\\u001b\"", "step is \"\\u001B\"")]
    [InlineData("\"beta1_product\": \"0.5\"", "\"beta1_product\": \"\\u001b\"", "beta1_product is \"\\u001B\"")]
    [InlineData("\"step\"", "\"x\\u001b\": \"\", \"step\"", "\"x\\u001B\", which")]
    [InlineData("\"step\"", "\"x\\u001b\": 1, \"step\"", "x\\u001B\" is Number")]
    public void Messages_hold_nothing_that_controls_a_terminal(string part, string replacement, string message)
    {
        int position = Good.IndexOf(part, StringComparison.Ordinal);
        string said = Refuses(message, Build(Good[..position] + replacement + Good[(position + part.Length)..]));
        Assert.DoesNotContain(said, static character => char.IsControl(character) || character == '\u202e');
    }

    [Fact]
    public void A_long_name_is_cut_in_messages()
    {
        string said = Refuses("xxx…\" is Number", Build($"{{\"{new string('x', 100_000)}\": 1}}"));
        Assert.InRange(said.Length, 100, 1000);
    }

    /// <summary>What a header claims is allocated as far as the file has it, also of a stream that cannot tell its length.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_header_that_is_not_there_is_not_allocated(bool isSeekable)
    {
        byte[] file = Build(Good);
        BinaryPrimitives.WriteUInt64LittleEndian(file, 99_000_000);
        using Target target = new();
        using Stream stream = isSeekable ? new MemoryStream(file) : new ForwardOnlyStream(new MemoryStream(file));
        long before = GC.GetAllocatedBytesForCurrentThread();
        InvalidDataException refused = Assert.Throws<InvalidDataException>(() => target.Optimizer.Load(stream));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
        Assert.Contains("within its header", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_text_that_is_not_unicode()
    {
        byte[] file = Build(Good);
        file[file.AsSpan().IndexOf("adam"u8)] = 0xFF;
        Refuses("not well-formed", file);
    }

    [Theory]
    [InlineData(-8, "bytes of data")]
    [InlineData(-1, "bytes of data")]
    [InlineData(1, "bytes of data")]
    [InlineData(8, "bytes of data")]
    public void Refuses_data_of_another_length(int difference, string message)
    {
        byte[] file = Build(Good);
        Array.Resize(ref file, file.Length + difference);
        Refuses(message, file);
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(1UL)]
    [InlineData(100_000_001UL)]
    [InlineData(ulong.MaxValue)]
    public void Refuses_header_lengths(ulong length)
    {
        byte[] file = Build(Good);
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        Refuses("header's length", file);
    }

    [Theory]
    [InlineData("")]
    [InlineData("PK\u0003\u0004 an archive, perhaps")]
    public void Refuses_foreign_files(string contents) => Refuses("header", Encoding.ASCII.GetBytes(contents));

    [Fact]
    public void Refuses_a_file_at_every_truncation()
    {
        byte[] file = Saved();
        using Target target = new();
        string before = Snapshot.Of(target.Optimizer);
        for (int length = 0; length < file.Length; length++)
        {
            RefusesBoth(target, file[..length]);
        }

        Assert.Equal(before, Snapshot.Of(target.Optimizer));
        target.Optimizer.Load(new MemoryStream(file));
        Assert.NotEqual(before, Snapshot.Of(target.Optimizer));
    }

    /// <summary>Even a changed digit of the step count is found, by the header's digest.</summary>
    [Fact]
    public void Refuses_a_file_with_any_changed_byte_of_the_header()
    {
        byte[] file = Saved();
        int end = sizeof(ulong) + (int)BinaryPrimitives.ReadUInt64LittleEndian(file);
        using Target target = new();
        string before = Snapshot.Of(target.Optimizer);
        for (int position = 0; position < end; position++)
        {
            foreach (byte flip in new byte[] { 0x01, 0x02, 0x04, 0x20, 0x80, 0xFF })
            {
                file[position] ^= flip;
                RefusesBoth(target, file);
                file[position] ^= flip;
            }
        }

        Assert.Equal(before, Snapshot.Of(target.Optimizer));
    }

    [Fact]
    public void Refuses_files_of_other_rules_options_and_models()
    {
        byte[] file = Saved();
        Refuses("rule is \"adam\", not \"sgd\"", set => new Sgd(set), new Model([2, 1], Target.Options));
        Refuses("no \"a.max_exp_avg_sq\"", set => new Adam(set, new() { Amsgrad = true }), new Model([2, 1], Target.Options));
        Refuses("no \"0.exp_avg\"", set => new Adam(set), new Model(2, 1));
        Refuses("F32 [2] in the file; the optimizer has F32 [3]", set => new Adam(set), new Model([3, 1], Target.Options));
        Refuses("\"b.exp_avg\", which the optimizer has not", set => new Adam(set), new Model([2], [Target.Options[0]]));
        Refuses(
            "no \"c.exp_avg\"",
            set => new Adam(set),
            new Model([2, 1, 0], [.. Target.Options, new TensorOptions { Name = "c" }]));

        void Refuses(string message, Func<ParameterSet, Optimizer> create, Model model)
        {
            using (model)
            {
                using Optimizer optimizer = create(model.Set);
                model.Step(optimizer, 1, 2);
                Assert.Contains(
                    message,
                    Snapshot.Unchanged<InvalidDataException>(optimizer, () => optimizer.Load(new MemoryStream(file))).Message,
                    StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Names_the_file_that_is_refused()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("damaged");
        File.WriteAllText(path, "no state");
        using Target target = new();
        Assert.StartsWith(
            path + ": ", Assert.Throws<InvalidDataException>(() => target.Optimizer.Load(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Data_begins_at_a_multiple_of_8()
    {
        for (int length = 1; length <= 8; length++)
        {
            using Model model = new([1], [new() { Name = new string('x', length) }]);
            using Adam optimizer = new(model.Set);
            using MemoryStream stream = new();
            optimizer.Save(stream);
            Assert.Equal(8, stream.Length % 8 == 0 ? 8 : 0);
            Assert.Equal(0UL, BinaryPrimitives.ReadUInt64LittleEndian(stream.ToArray()) % 8);
        }
    }

    /// <summary>An independent reader, of the published format: Python's json and struct.</summary>
    [SkippableFact]
    public void Python_reads_what_we_write()
    {
        const string Script =
            """
            import hashlib, json, re, struct, sys
            file = open(sys.argv[1], 'rb').read()
            length, = struct.unpack('<Q', file[:8])
            text, data = file[8:8 + length], file[8 + length:]
            header = json.loads(text.decode('utf-8'))
            metadata = header.pop('__metadata__')
            digest = metadata.pop('header_sha256')
            assert hashlib.sha256(text.replace(digest.encode(), b'0' * 64)).hexdigest().upper() == digest
            assert length % 8 == 0
            assert sum(e['data_offsets'][1] - e['data_offsets'][0] for e in header.values()) == len(data)
            print(metadata['format'], metadata['rule'], metadata['step'])
            print(float(metadata['beta1_product']).hex(), float(metadata['beta2_product']).hex())
            for name, e in sorted(header.items()):
                begin, end = e['data_offsets']
                print(name, e['dtype'], e['shape'], data[begin:end].hex().upper())
            """;
        using TemporaryFolder folder = new();
        string path = folder.File("state.safetensors");
        using Target target = new();
        target.Optimizer.Save(path, includeParameters: true);
        List<string> expected = ["nativeopt-state/2 adam 3"];
        for (int tensor = 0; tensor < 2; tensor++)
        {
            string name = target.Model.Set.Names[tensor];
            long count = target.Model.Set.ElementCounts[tensor];
            expected.Add($"{name}.exp_avg F32 [{count}] {Snapshot.Bits(target.Optimizer.GetState(StateRole.ExpAvg, tensor))}");
            expected.Add($"{name}.exp_avg_sq F32 [{count}] {Snapshot.Bits(target.Optimizer.GetState(StateRole.ExpAvgSq, tensor))}");
            expected.Add($"{name}.param F32 [{count}] {Snapshot.Bits(target.Model.Set.GetParameter(tensor))}");
        }

        string[] lines = Python(Script, path).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string products = Python("print((.9*.9*.9).hex(), (.999*.999*.999).hex())").Trim();
        Assert.Equal([expected[0], products, .. expected[1..]], lines);
    }

    [SkippableFact]
    public void We_read_what_python_writes()
    {
        const string Script =
            """
            import json, struct, sys
            header = {'__metadata__': {'format': 'nativeopt-state/2', 'rule': 'adam', 'step': '7',
                                       'beta1_product': repr(.9 ** 7), 'beta2_product': repr(.999 ** 7)}}
            data = b''
            for name, values in {'a.exp_avg': [1.5, -2.5], 'a.exp_avg_sq': [3.5, 4.5], 'b.exp_avg': [5.5], 'b.exp_avg_sq': [6.5]}.items():
                packed = struct.pack('<%df' % len(values), *values)
                header[name] = {'dtype': 'F32', 'shape': [len(values)], 'data_offsets': [len(data), len(data) + len(packed)]}
                data += packed
            text = json.dumps(header).encode()
            text += b' ' * (-len(text) % 8)
            open(sys.argv[1], 'wb').write(struct.pack('<Q', len(text)) + text + data)
            """;
        using TemporaryFolder folder = new();
        string path = folder.File("state.safetensors");
        Python(Script, path);
        using Target target = new();
        target.Optimizer.Load(path);
        Assert.Equal(7, target.Optimizer.StepCount);
        Assert.Equal(Math.Pow(0.9, 7), target.Optimizer.Beta1Product, 1e-15);
        Assert.Equal([1.5f, -2.5f], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvg, 0)));
        Assert.Equal([6.5f], Snapshot.Values(target.Optimizer.GetState(StateRole.ExpAvgSq, 1)));
    }

    /// <returns>The message.</returns>
    private static string Refuses(string message, byte[] file)
    {
        using Target target = new();
        string said =
            Snapshot.Unchanged<InvalidDataException>(target.Optimizer, () => target.Optimizer.Load(new MemoryStream(file))).Message;
        Assert.Contains(message, said, StringComparison.Ordinal);
        Snapshot.Unchanged<InvalidDataException>(
            target.Optimizer, () => target.Optimizer.Load(new ForwardOnlyStream(new MemoryStream(file))));
        return said;
    }

    private static void RefusesBoth(Target target, byte[] file)
    {
        Assert.Throws<InvalidDataException>(() => target.Optimizer.Load(new MemoryStream(file)));
        Assert.Throws<InvalidDataException>(() => target.Optimizer.Load(new ForwardOnlyStream(new MemoryStream(file))));
    }

    private static byte[] Saved()
    {
        using Target target = new();
        target.Model.Step(target.Optimizer, 4, 5);
        using MemoryStream stream = new();
        target.Optimizer.Save(stream);
        return stream.ToArray();
    }

    private static byte[] Build(string header)
    {
        byte[] text = Encoding.UTF8.GetBytes(header);
        byte[] length = new byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)text.Length);
        return [.. length, .. text, .. MemoryMarshal.AsBytes(Data.AsSpan())];
    }

    private static string Python(string script, params string[] arguments)
    {
        (int ExitCode, string Output) result;
        try
        {
            result = ChildProcess.Run("python3", ["-c", script, .. arguments]);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            throw new SkipException("There is no python3.");
        }

        Assert.True(result.ExitCode == 0, result.Output);
        return result.Output;
    }

    /// <summary>An Adam of two tensors, "a" and "b", after three steps.</summary>
    private sealed class Target : IDisposable
    {
        public static readonly TensorOptions[] Options = [new() { Name = "a" }, new() { Name = "b" }];

        public Target()
        {
            Model = new Model([2, 1], Options);
            Optimizer = new Adam(Model.Set);
            Model.Step(Optimizer, 1, 3);
        }

        public Model Model { get; }

        public Adam Optimizer { get; }

        public void Dispose()
        {
            Optimizer.Dispose();
            Model.Dispose();
        }
    }
}
