using System.Globalization;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Shapes;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Memory;

/// <summary>What <c>nativeopt info --memory</c> shows.</summary>
internal sealed class MemoryView(Terminal terminal)
{
    private static readonly (long Bytes, string Name)[] Units = [(1, "B"), (1 << 10, "KiB"), (1 << 20, "MiB"), (1L << 30, "GiB")];

    /// <summary>One line for each configuration.</summary>
    public void ShowTable(ModelShape shape, IReadOnlyList<MemoryConfiguration> configurations)
    {
        OptimizerMemory[] memories = [.. configurations.Select(configuration => configuration.For(shape))];
        (long unit, string unitName) = Unit(memories.Max(Together));

        // Two lines for each heading: the table fits 100 columns.
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("optimizer", "parameters,\ngradients", "master", "states", "bytes per\nelement")
            .AddColumns($"optimizer,\n{unitName}", $"with parameters and\ngradients, {unitName}");
        foreach (TableColumn column in table.Columns.Skip(4))
        {
            column.RightAligned();
        }

        foreach ((MemoryConfiguration configuration, OptimizerMemory memory) in configurations.Zip(memories))
        {
            string[] cells =
            [
                configuration.Name,
                CommonOptions.Name(configuration.DType),
                CommonOptions.Name(configuration.MasterWeights),
                memory.Buffers.Count == 0 ? "" : CommonOptions.Name(configuration.StateType),
                PerElement(memory.TotalBytes, memory),
                In(memory.TotalBytes, unit),
                In(Together(memory), unit),
            ];
            table.AddRow(cells.Select(static cell => (IRenderable)new Text(cell)));
        }

        ShowShape(shape);
        terminal.People.Write(table);
    }

    /// <summary>One line for each buffer of a configuration.</summary>
    public void ShowBuffers(ModelShape shape, MemoryConfiguration configuration)
    {
        OptimizerMemory memory = configuration.For(shape);
        (long unit, string unitName) = Unit(Together(memory));
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("buffer", "bytes per\nelement", "bytes", unitName);
        foreach (TableColumn column in table.Columns.Skip(1))
        {
            column.RightAligned();
        }

        foreach (BufferMemory buffer in memory.Buffers)
        {
            Row(buffer.Role, buffer.Bytes);
        }

        Row("optimizer", memory.TotalBytes);
        table.AddEmptyRow();
        Row("parameters", memory.ParameterBytes);
        Row("gradients", memory.GradientBytes);
        Row("all together", Together(memory));
        ShowShape(shape);
        terminal.People.WriteLine(
            $"{configuration.Name}: {CommonOptions.Name(configuration.DType)} parameters and gradients, "
            + $"{CommonOptions.Name(configuration.StateType)} states, master {CommonOptions.Name(configuration.MasterWeights)}");
        terminal.People.Write(table);

        void Row(string name, long bytes) =>
            table.AddRow(name, PerElement(bytes, memory), string.Create(CultureInfo.InvariantCulture, $"{bytes:N0}"), In(bytes, unit));
    }

    /// <summary>The members of the JSON document.</summary>
    public static object Summary(ModelShape shape, IReadOnlyList<MemoryConfiguration> configurations) => new MemorySummary(
        shape.Name, shape.ElementCounts.Count, shape.ElementCount, [.. configurations.Select(one => Summary(shape, one))]);

    private static ConfigurationSummary Summary(ModelShape shape, MemoryConfiguration configuration)
    {
        OptimizerMemory memory = configuration.For(shape);
        return new ConfigurationSummary(
            configuration.Rule,
            configuration.Selected,
            configuration.DimerName,
            CommonOptions.Name(configuration.DType),
            CommonOptions.Name(configuration.MasterWeights),
            CommonOptions.Name(configuration.StateType),
            memory.ParameterBytes,
            memory.GradientBytes,
            memory.TotalBytes,
            (double)memory.TotalBytes / memory.ElementCount,
            [
                .. memory.Buffers.Select(buffer => new BufferSummary(
                    buffer.Role, buffer.Bytes, (double)buffer.Bytes / memory.ElementCount)),
            ]);
    }

    private static long Together(OptimizerMemory memory) =>
        memory.ParameterBytes + memory.GradientBytes + memory.TotalBytes;

    /// <summary>The largest in which a number of bytes is at least 10.</summary>
    private static (long Bytes, string Name) Unit(long bytes) => Units.LastOrDefault(unit => bytes >= 10 * unit.Bytes, Units[0]);

    private static string In(long bytes, long unit) =>
        (bytes / (double)unit).ToString(unit == 1 ? "N0" : "N1", CultureInfo.InvariantCulture);

    private static string PerElement(long bytes, OptimizerMemory memory) =>
        string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)memory.ElementCount:0.###}");

    private void ShowShape(ModelShape shape) => terminal.People.WriteLine(
        string.Create(
            CultureInfo.InvariantCulture, $"{shape.Name}: {shape.ElementCounts.Count:N0} tensors, {shape.ElementCount:N0} elements"));

    private sealed record MemorySummary(string Shape, int Tensors, long Elements, ConfigurationSummary[] Configurations);

    private sealed record ConfigurationSummary(
        string Rule,
        IReadOnlyList<string> Options,
        string? Dimer,
        string Dtype,
        string Master,
        string StateDtype,
        long ParameterBytes,
        long GradientBytes,
        long OptimizerBytes,
        double BytesPerElement,
        BufferSummary[] Buffers);

    private sealed record BufferSummary(string Role, long Bytes, double BytesPerElement);
}
