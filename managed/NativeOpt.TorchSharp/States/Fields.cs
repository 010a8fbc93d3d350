using System.Linq.Expressions;
using System.Reflection;

namespace NativeOpt.TorchSharp;

/// <summary>Compiled access to public fields, which steps can use without allocating.</summary>
internal static class Fields
{
    public static Func<TObject, TValue> Getter<TObject, TValue>(FieldInfo field)
    {
        ParameterExpression target = Expression.Parameter(typeof(TObject));
        return Expression.Lambda<Func<TObject, TValue>>(Of(target, field), target).Compile();
    }

    public static Action<TObject, TValue> Setter<TObject, TValue>(FieldInfo field)
    {
        ParameterExpression target = Expression.Parameter(typeof(TObject));
        ParameterExpression value = Expression.Parameter(typeof(TValue));
        return Expression.Lambda<Action<TObject, TValue>>(Expression.Assign(Of(target, field), value), target, value).Compile();
    }

    private static MemberExpression Of(Expression target, FieldInfo field) =>
        Expression.Field(Expression.Convert(target, field.DeclaringType!), field);
}
