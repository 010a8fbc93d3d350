using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp;

/// <summary>
/// Where the parameters of a group came from, such as <c>model.parameters()</c>, which walks the module anew each time. So it tells
/// whether the module has other parameters by now, as it does after a conversion.
/// </summary>
internal sealed class ParameterWalk
{
    private readonly IEnumerable<Parameter> _source;
    private readonly FusedParameter[] _own;
    private readonly bool _isStable;

    /// <param name="source">What gave the parameters.</param>
    /// <param name="own">The parameters that it gave.</param>
    public ParameterWalk(IEnumerable<Parameter> source, FusedParameter[] own)
    {
        _source = source;
        _own = own;

        // A source that makes new parameters each time tells nothing about those it made first.
        HashSet<nint> handles = ValidHandles();
        _isStable = source.All(parameter => parameter is { IsInvalid: false } && handles.Contains(parameter.Handle));
    }

    /// <summary>
    /// Looks for a parameter that the source no longer has, while it has another one of its shape instead. A source that leaves out
    /// parameters whose requires_grad changed is no reason.
    /// </summary>
    /// <returns>The first such parameter; null if there is none.</returns>
    public FusedParameter? FindReplaced()
    {
        if (!_isStable)
        {
            return null;
        }

        // The handle of a parameter that was disposed of may be another one's by now.
        HashSet<nint> own = ValidHandles();
        Parameter[] present = [.. _source.Where(static parameter => parameter is { IsInvalid: false })];
        Parameter[] others = [.. present.Where(parameter => !own.Contains(parameter.Handle))];
        if (others.Length == 0)
        {
            return null;
        }

        HashSet<nint> handles = [.. present.Select(static parameter => parameter.Handle)];
        return Array.Find(
            _own,
            one => (one.Tensor.IsInvalid
                    || (!handles.Contains(one.Handle) && one.Tensor.requires_grad == one.RequiredGradient))
                && Array.Exists(others, one.HasShapeOf));
    }

    private HashSet<nint> ValidHandles() => [.. _own.Where(static one => !one.Tensor.IsInvalid).Select(static one => one.Handle)];
}
