using System.Linq.Expressions;
using System.Reflection;
using global::TorchSharp;
using global::TorchSharp.Modules;

namespace NativeOpt.TorchSharp;

/// <summary>
/// How an optimizer reaches the tensors, the step count and the running scalars in its state objects, one for each parameter. The
/// tensors are in the order of <see cref="Rule.States"/>.
/// </summary>
internal abstract class StateAccess
{
    /// <summary>Whether state objects count steps. Those of TorchSharp's SGD do not.</summary>
    public virtual bool HasStepCount => true;

    /// <summary>The rule's running scalars that state objects keep.</summary>
    public abstract IReadOnlyList<RunningScalar> RunningScalars { get; }

    /// <summary>Makes the state object of a parameter, without tensors.</summary>
    public abstract ParameterState Create(Parameter parameter);

    /// <summary>Whether a state object is of the kind that <see cref="Create"/> makes.</summary>
    public abstract bool IsOwn(ParameterState state);

    public abstract torch.Tensor? Get(ParameterState state, int index);

    /// <summary>Puts a tensor in place; the one before is not disposed of.</summary>
    public abstract void Set(ParameterState state, int index, torch.Tensor? tensor);

    public abstract long GetStepCount(ParameterState state);

    public abstract void SetStepCount(ParameterState state, long count);

    /// <summary>One of <see cref="RunningScalars"/>, by its index there; NaN if it is as the step count says.</summary>
    public abstract double GetRunningScalar(ParameterState state, int index);

    public abstract void SetRunningScalar(ParameterState state, int index, double value);
}

/// <summary>State objects of this library's own, for rules that TorchSharp does not have and for master weights.</summary>
internal sealed class OwnStateAccess(Rule rule, int tensorCount) : StateAccess
{
    public override IReadOnlyList<RunningScalar> RunningScalars => rule.RunningScalars;

    public override ParameterState Create(Parameter parameter) =>
        new FusedState(parameter, tensorCount, rule.RunningScalars.Count);

    public override bool IsOwn(ParameterState state) => state is FusedState own && own.Tensors.Length == tensorCount
        && own.RunningScalars.Length == rule.RunningScalars.Count;

    public override torch.Tensor? Get(ParameterState state, int index) => ((FusedState)state).Tensors[index];

    public override void Set(ParameterState state, int index, torch.Tensor? tensor) =>
        ((FusedState)state).Tensors[index] = tensor;

    public override long GetStepCount(ParameterState state) => ((FusedState)state).StepCount;

    public override void SetStepCount(ParameterState state, long count) => ((FusedState)state).Count(count);

    public override double GetRunningScalar(ParameterState state, int index) => ((FusedState)state).RunningScalars[index];

    public override void SetRunningScalar(ParameterState state, int index, double value) =>
        ((FusedState)state).RunningScalars[index] = value;
}

/// <summary>
/// The state objects of one of TorchSharp's optimizers, so that its state files go both ways. The states and running scalars of a
/// rule are the fields of the same names.
/// </summary>
internal sealed class TorchStateAccess : StateAccess
{
    private readonly Type _type;
    private readonly Func<Parameter, ParameterState> _create;
    private readonly Func<ParameterState, torch.Tensor?>[] _getters;
    private readonly Action<ParameterState, torch.Tensor?>[] _setters;
    private readonly Func<ParameterState, double>[] _scalarGetters;
    private readonly Action<ParameterState, double>[] _scalarSetters;
    private readonly Func<ParameterState, long>? _getStep;
    private readonly Action<ParameterState, long>? _setStep;

    /// <param name="type">TorchSharp's class of the states.</param>
    /// <param name="rule">The rule.</param>
    public TorchStateAccess(Type type, Rule rule)
    {
        _type = type;
        ConstructorInfo constructor = type.GetConstructor([typeof(Parameter)])
            ?? throw new MissingMethodException(type.FullName, "a constructor with a parameter");
        ParameterExpression parameter = Expression.Parameter(typeof(Parameter));
        _create = Expression.Lambda<Func<Parameter, ParameterState>>(Expression.New(constructor, parameter), parameter).Compile();
        FieldInfo[] fields = [.. rule.States.Select(
            state => type.GetField(state.Name) ?? throw new MissingFieldException(type.FullName, state.Name))];
        _getters = [.. fields.Select(Fields.Getter<ParameterState, torch.Tensor?>)];
        _setters = [.. fields.Select(Fields.Setter<ParameterState, torch.Tensor?>)];
        RunningScalars = [.. rule.RunningScalars.Where(scalar => type.GetField(scalar.Name) is not null)];
        FieldInfo[] scalars = [.. RunningScalars.Select(scalar => type.GetField(scalar.Name)!)];
        _scalarGetters = [.. scalars.Select(Fields.Getter<ParameterState, double>)];
        _scalarSetters = [.. scalars.Select(Fields.Setter<ParameterState, double>)];
        if (type.GetField("step") is { } step)
        {
            _getStep = Fields.Getter<ParameterState, long>(step);
            _setStep = Fields.Setter<ParameterState, long>(step);
        }
    }

    public override bool HasStepCount => _getStep is not null;

    public override IReadOnlyList<RunningScalar> RunningScalars { get; }

    public override ParameterState Create(Parameter parameter)
    {
        ParameterState state = _create(parameter);
        for (int i = 0; i < RunningScalars.Count; i++)
        {
            SetRunningScalar(state, i, RunningScalars[i].InitialValue);
        }

        return state;
    }

    public override bool IsOwn(ParameterState state) => state?.GetType() == _type;

    public override torch.Tensor? Get(ParameterState state, int index) => _getters[index](state);

    public override void Set(ParameterState state, int index, torch.Tensor? tensor) => _setters[index](state, tensor);

    public override long GetStepCount(ParameterState state) => _getStep is null ? 0 : _getStep(state);

    public override void SetStepCount(ParameterState state, long count) => _setStep?.Invoke(state, count);

    public override double GetRunningScalar(ParameterState state, int index) => _scalarGetters[index](state);

    public override void SetRunningScalar(ParameterState state, int index, double value) => _scalarSetters[index](state, value);
}
