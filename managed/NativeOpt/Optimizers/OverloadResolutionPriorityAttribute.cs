#if !NET9_0_OR_GREATER
namespace System.Runtime.CompilerServices;

/// <summary>What .NET 9 has, for compilers of C# 13 and later, which know it by its name.</summary>
[AttributeUsage(AttributeTargets.Constructor | AttributeTargets.Method | AttributeTargets.Property, Inherited = false)]
internal sealed class OverloadResolutionPriorityAttribute(int priority) : Attribute
{
    public int Priority { get; } = priority;
}
#endif
