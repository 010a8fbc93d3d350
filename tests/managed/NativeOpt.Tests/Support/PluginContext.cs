using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using NativeOpt.Interop;

namespace NativeOpt.Tests.Support;

/// <summary>A plugin's load context with a copy of the bindings, which knows where one native library is.</summary>
internal sealed class PluginContext(string library) : AssemblyLoadContext("plugin")
{
    private string asked = "nothing";

    /// <summary>Has the bindings at a path load their library.</summary>
    /// <returns>What they loaded, and what they asked their context for.</returns>
    public static string Load(string assembly, string library)
    {
        PluginContext context = new(library);
        Type loader = context.LoadFromAssemblyPath(assembly).GetType(typeof(NativeLibraryLoader).FullName!)!;
        Call(nameof(NativeLibraryLoader.EnsureLoaded));
        return $"{Call("get_" + nameof(NativeLibraryLoader.LoadedFrom))}, asked for {context.asked}";

        object? Call(string method) => loader.GetMethod(method)!.Invoke(null, BindingFlags.DoNotWrapExceptions, null, null, null);
    }

    protected override nint LoadUnmanagedDll(string unmanagedDllName)
    {
        asked = unmanagedDllName;
        return NativeLibrary.Load(library);
    }
}
