namespace TorchSharpAdapter;

/// <summary>What tests run in a process of its own, since it loads another build of the native library.</summary>
public static class Program
{
    public static int Main(string[] args)
    {
        if (args is ["cuda-path"])
        {
            return CudaPath.Run(Console.Out);
        }

        Console.Error.WriteLine("unknown arguments: " + string.Join(' ', args));
        return 2;
    }
}
