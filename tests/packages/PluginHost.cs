// Runs the program that is the first argument as a plugin: in a load context of its own, which finds its libraries by the
// .deps.json beside it.
using System.Runtime.Loader;

Plugin plugin = new(args[0]);
plugin.LoadFromAssemblyPath(args[0]).EntryPoint!.Invoke(null, [Array.Empty<string>()]);

internal sealed class Plugin(string path) : AssemblyLoadContext
{
    private readonly AssemblyDependencyResolver resolver = new(path);

    protected override System.Reflection.Assembly? Load(System.Reflection.AssemblyName assemblyName) =>
        resolver.ResolveAssemblyToPath(assemblyName) is { } found ? LoadFromAssemblyPath(found) : null;

    protected override nint LoadUnmanagedDll(string unmanagedDllName) =>
        resolver.ResolveUnmanagedDllToPath(unmanagedDllName) is { } found ? LoadUnmanagedDllFromPath(found) : 0;
}
