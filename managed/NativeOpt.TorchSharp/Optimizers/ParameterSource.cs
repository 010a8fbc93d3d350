using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp;

/// <summary>Where an optimizer's parameters come from: the groups, and what messages call the parameters.</summary>
internal sealed class ParameterSource
{
    private ParameterSource(
        IEnumerable<TorchGroup> groups, IReadOnlyDictionary<nint, string>? names = null)
    {
        Groups = [.. groups];
        Names = names ?? new Dictionary<nint, string>();
    }

    public IReadOnlyList<TorchGroup> Groups { get; }

    /// <summary>Names by the handle of the parameter, as far as they are known.</summary>
    public IReadOnlyDictionary<nint, string> Names { get; }

    public static ParameterSource Of<TGroup>(IEnumerable<Parameter> parameters, Func<IEnumerable<Parameter>, TGroup> makeGroup)
        where TGroup : TorchGroup
    {
        ArgumentNullException.ThrowIfNull(parameters);
        return new ParameterSource([makeGroup(parameters)]);
    }

    public static ParameterSource Of<TGroup>(
        IEnumerable<(string Name, Parameter Parameter)> parameters, Func<IEnumerable<Parameter>, TGroup> makeGroup)
        where TGroup : TorchGroup
    {
        ArgumentNullException.ThrowIfNull(parameters);
        Dictionary<nint, string> names = [];
        foreach ((string name, Parameter parameter) in parameters)
        {
            if (parameter is { IsInvalid: false })
            {
                names.TryAdd(parameter.Handle, name);
            }
        }

        // It stays a walk through the module, by which the optimizer notices that the module has others.
        return new ParameterSource([makeGroup(parameters.Select(static pair => pair.Parameter))], names);
    }

    public static ParameterSource Of(IEnumerable<TorchGroup> groups)
    {
        ArgumentNullException.ThrowIfNull(groups);
        return new ParameterSource(groups);
    }
}
