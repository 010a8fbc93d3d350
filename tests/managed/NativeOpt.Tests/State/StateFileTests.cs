using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.State;

/// <summary>Saving, loading, and going on as if nothing had happened.</summary>
public class StateFileTests
{
    private static readonly int[] Sizes = [3, 0, 17, 1];

    public static TheoryData<string> Names => Rules.OptimizerNames;

    [Theory]
    [MemberData(nameof(Names))]
    public void Resumes_bit_for_bit(string name)
    {
        using TemporaryFolder folder = new();
        string path = folder.File("state.safetensors");
        using Model whole = new(Sizes);
        using Optimizer uninterrupted = Rules.OneOfEach[name](whole.Set);
        whole.Step(uninterrupted, 1, 12);

        using (Model first = new(Sizes))
        {
            using Optimizer optimizer = Rules.OneOfEach[name](first.Set);
            first.Step(optimizer, 1, 6);
            optimizer.Save(path, includeParameters: true);
        }

        using Model second = new(Sizes);
        using Optimizer resumed = Rules.OneOfEach[name](second.Set);
        second.Step(resumed, 20, 22); // what is there before does not matter
        resumed.Load(path);
        Assert.Equal(6, resumed.StepCount);
        second.Step(resumed, 7, 12);
        Assert.Equal(Snapshot.Of(uninterrupted), Snapshot.Of(resumed));
    }

    [Fact]
    public void Leaves_parameters_alone_unless_they_are_in_the_file()
    {
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        model.Step(optimizer, 1, 2);
        using MemoryStream stream = new();
        optimizer.Save(stream);
        model.Step(optimizer, 3, 4);
        byte[] parameters = model.ParameterBytes();
        stream.Position = 0;
        optimizer.Load(stream);
        Assert.Equal(2, optimizer.StepCount);
        Assert.Equal(parameters, model.ParameterBytes());
    }

    [Fact]
    public void Products_survive_exactly()
    {
        using Model model = new(1);
        using Adam optimizer = new(model.Set);
        const long Most = 1L << 53;
        double[] products = [0, double.Epsilon, 1.0 / 3, Math.BitDecrement(1)];
        foreach (double product in products)
        {
            double other = Math.Min(1 - product, Math.BitDecrement(1));
            (optimizer.StepCount, optimizer.Beta1Product, optimizer.Beta2Product) = (Most, product, other);
            using MemoryStream stream = new();
            optimizer.Save(stream);
            (optimizer.StepCount, optimizer.Beta1Product, optimizer.Beta2Product) = (5, 0.5, 0.5);
            stream.Position = 0;
            optimizer.Load(stream);
            Assert.Equal((product, other, Most), (optimizer.Beta1Product, optimizer.Beta2Product, optimizer.StepCount));
        }

        // 1 is the product of no steps.
        optimizer.StepCount = 0;
        using MemoryStream fresh = new();
        optimizer.Save(fresh);
        optimizer.StepCount = 5;
        fresh.Position = 0;
        optimizer.Load(fresh);
        Assert.Equal((1.0, 1.0, 0L), (optimizer.Beta1Product, optimizer.Beta2Product, optimizer.StepCount));
    }

    [Fact]
    public void Streams_need_not_seek_and_may_begin_in_the_middle()
    {
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        model.Step(optimizer, 1, 2);
        using MemoryStream stream = new();
        stream.Write("before"u8);
        optimizer.Save(stream);
        string saved = Snapshot.Of(optimizer);
        foreach (bool seekable in new[] { true, false })
        {
            model.Set.SetGradients([.. model.Gradients.Select((_, i) => model.Set.GetParameter(i).Pointer + 4096)]);
            optimizer.StepCount = 100;
            stream.Position = 6;
            optimizer.Load(seekable ? stream : new ForwardOnlyStream(stream));
            Assert.Equal(saved, Snapshot.Of(optimizer));
        }
    }

    /// <summary>Data of more than one piece of a copy.</summary>
    [Fact]
    public void Saves_large_tensors()
    {
        using Model model = new(3_000_001, 5);
        using Adam optimizer = new(model.Set);
        model.Step(optimizer, 1, 1);
        using MemoryStream stream = new();
        optimizer.Save(stream);
        string saved = Snapshot.Of(optimizer);
        byte[] parameters = model.ParameterBytes();
        optimizer.Step();
        Assert.NotEqual(saved, Snapshot.Of(optimizer));
        stream.Position = 0;
        optimizer.Load(new ForwardOnlyStream(stream));
        System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(parameters)[..3_000_001].CopyTo(model.Parameters[0]);
        System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(parameters)[3_000_001..].CopyTo(model.Parameters[1]);
        Assert.Equal(saved, Snapshot.Of(optimizer));
    }

    [Fact]
    public void Empty_sets_are_saved()
    {
        using ParameterSet set = new(Device.Cpu, []);
        using Adam optimizer = new(set);
        optimizer.StepCount = 3;
        using MemoryStream stream = new();
        optimizer.Save(stream);
        optimizer.StepCount = 4;
        stream.Position = 0;
        optimizer.Load(stream);
        Assert.Equal(3, optimizer.StepCount);
    }

    [Fact]
    public void Names_may_be_anything()
    {
        string[] names = ["layer.0.weight", "größe \"π\"\n\\", "__metadata__", "a.exp_avg", "a", "0000000000000000000000000000000000000000000000000000000000000000"];
        TensorOptions[] options = [.. names.Select(name => new TensorOptions { Name = name })];
        using Model model = new([.. names.Select(_ => 2)], options);
        using Adam optimizer = new(model.Set);
        model.Step(optimizer, 1, 1);
        using MemoryStream stream = new();
        optimizer.Save(stream, includeParameters: true);
        string saved = Snapshot.Of(optimizer);
        model.Step(optimizer, 2, 2);
        stream.Position = 0;
        optimizer.Load(stream);
        Assert.Equal(saved, Snapshot.Of(optimizer));
    }

    [Fact]
    public void Replaces_the_file_and_leaves_nothing_else()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("state.safetensors");
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        optimizer.Save(path);
        optimizer.Step();
        optimizer.Save(path);
        Assert.Equal([path], Directory.GetFileSystemEntries(folder.Path));
        optimizer.StepCount = 9;
        optimizer.Load(path);
        Assert.Equal(1, optimizer.StepCount);
    }

    [Fact]
    public void A_cancelled_save_leaves_the_old_file()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("state.safetensors");
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        optimizer.Save(path);
        byte[] old = File.ReadAllBytes(path);
        optimizer.Step();
        CancellationToken cancelled = new(canceled: true);
        Snapshot.Unchanged<OperationCanceledException>(optimizer, () => optimizer.Save(path, cancellationToken: cancelled));
        Snapshot.Unchanged<OperationCanceledException>(optimizer, () => optimizer.Load(path, cancellationToken: cancelled));
        Assert.Equal(old, File.ReadAllBytes(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Impossible_targets_are_reported()
    {
        using TemporaryFolder folder = new();
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        Assert.Throws<DirectoryNotFoundException>(() => optimizer.Save(folder.File("missing/state")));
        string directory = Directory.CreateDirectory(folder.File("directory")).FullName;
        Assert.ThrowsAny<SystemException>(() => optimizer.Save(directory));
        Assert.Equal([directory], Directory.GetFileSystemEntries(folder.Path));
        Assert.Throws<FileNotFoundException>(() => optimizer.Load(folder.File("missing")));
    }

    /// <summary>A disk without room: the shell limits how large a file may get.</summary>
    [SkippableFact]
    public void A_full_disk_leaves_the_old_file()
    {
        Skip.IfNot(OperatingSystem.IsLinux() && File.Exists("/bin/bash"), "Needs bash on Linux.");
        using TemporaryFolder folder = new();
        string path = folder.File("state");
        File.WriteAllText(path, "old");
        string run = $"exec \"{ChildProcess.DotNet}\" exec \"{ChildProcess.TestAssembly}\" save \"{path}\" ";

        // SIGXFSZ is ignored, so that the write fails, as it does on a full disk (where .NET has another exception).
        // Write-xor-execute would map code through a file.
        const string Limit = "trap '' XFSZ; ulimit -f 64; ";
        (string Name, string? Value) plainCode = ("DOTNET_EnableWriteXorExecute", "0");
        (int exitCode, string output) = ChildProcess.Run("/bin/bash", ["-c", Limit + run + "100000"], plainCode);
        Assert.True(exitCode == 1 && output.Contains("too large", StringComparison.Ordinal), $"{exitCode}: {output}");
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(folder.Path));

        // The same with room.
        (exitCode, output) = ChildProcess.Run("/bin/bash", ["-c", Limit + run + "100"], plainCode);
        Assert.Equal((0, "saved"), (exitCode, output.Trim()));
        Assert.NotEqual("old", File.ReadAllText(path));
    }

    [Fact]
    public void A_failing_stream_changes_nothing()
    {
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        model.Step(optimizer, 1, 2);
        using MemoryStream saved = new();
        optimizer.Save(saved);
        model.Step(optimizer, 3, 3);
        for (int room = 0; room < saved.Length; room += 13)
        {
            Snapshot.Unchanged<IOException>(optimizer, () => optimizer.Save(new FailingStream(saved.ToArray(), room)));
            Snapshot.Unchanged<IOException>(optimizer, () => optimizer.Load(new FailingStream(saved.ToArray(), room)));
        }
    }

    /// <summary>A checkpoint of two mixed steps would be worse than none.</summary>
    [Fact]
    public void A_step_during_a_save_is_noticed()
    {
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        Assert.Throws<ConcurrentUseException>(() => optimizer.Save(new SteppingStream(optimizer)));
    }
}
