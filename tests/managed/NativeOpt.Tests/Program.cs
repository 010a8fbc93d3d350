using NativeOpt.Tests.Support;

namespace NativeOpt.Tests;

/// <summary>What tests run in a process of its own, since it ends the process or happens once in it.</summary>
public static class Program
{
    public static int Main(string[] args)
    {
        switch (args)
        {
            case ["version"]:
                return Report(() => $"{NativeRuntime.Version} from {NativeRuntime.LoadedFrom}");
            case ["threads"]:
                return Report(() => $"{NativeRuntime.CpuThreads} of {NativeRuntime.CpuCount}");
            case ["plugin", string assembly, string library]:
                return Report(() => PluginContext.Load(assembly, library));
            case ["save", string path, string elements]:
                return Report(() => Save(path, int.Parse(elements, System.Globalization.CultureInfo.InvariantCulture)));
            case ["half-write", string path]:
                AtomicFile.Write(path, HalfWrite);
                return 0;
            case ["memory", string name]:
                return Report(() => PeakMemory.Measure(PeakMemory.Cases[name]));
            default:
                Console.Error.WriteLine("unknown arguments: " + string.Join(' ', args));
                return 2;
        }
    }

    private static int Report(Func<string> action)
    {
        try
        {
            Console.WriteLine(action());
            return 0;
        }
        catch (Exception exception)
        {
            Console.WriteLine($"{exception.GetType().Name}: {exception.Message}");
            return 1;
        }
    }

    private static string Save(string path, int elements)
    {
        using Model model = new(elements);
        using Adam optimizer = new(model.Set);
        optimizer.Step();
        optimizer.Save(path);
        return "saved";
    }

    private static void HalfWrite(Stream stream)
    {
        stream.Write("half of the n"u8);
        stream.Flush();
        Console.WriteLine("written");
        Thread.Sleep(Timeout.Infinite);
    }
}
