using System.Runtime.InteropServices;
using NativeOpt.Cli.Training;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>Where a case's tensors lie, and what is there at first: the same for all models of the case.</summary>
internal sealed class SelftestBuffers
{
    private readonly SelftestCase _case;
    private readonly DeterministicRandom _random;

    public SelftestBuffers(SelftestCase one, DeterministicRandom random)
    {
        (_case, _random) = (one, random);
        GuardedLayout layout = LayoutOf(nopt_role.NOPT_ROLE_PARAM);
        Parameters = (layout, layout.NewImage());
        Gradients = [Place(0), Place(1)];
        Inputs = [.. one.InputRoles.Select(role => LayoutOf(role)).Select(static own => (own, own.NewImage()))];
        Fill(layout, Parameters.Image, hasStrange: false);

        (GuardedLayout Layout, byte[] Image) Place(int place)
        {
            // The first place is where a framework's gradients are most often; the second is at another alignment.
            bool isElsewhere = place == 1 && one.Arrangement.Alignment != SelftestAlignment.Aligned;
            GuardedLayout layout = LayoutOf(nopt_role.NOPT_ROLE_GRAD, isElsewhere ? 1 : 0);
            return (layout, layout.NewImage());
        }
    }

    /// <summary>The parameters before the first step.</summary>
    public (GuardedLayout Layout, byte[] Image) Parameters { get; }

    /// <summary>Two places that gradients are put to in turn: frameworks give them new addresses.</summary>
    public (GuardedLayout Layout, byte[] Image)[] Gradients { get; }

    /// <summary>The inputs of the rule, in the rule's order.</summary>
    public (GuardedLayout Layout, byte[] Image)[] Inputs { get; }

    /// <summary>
    /// A role that steps write: random parameters, masters that are these, states as the rule describes them, all else zero.
    /// </summary>
    public (GuardedLayout Layout, byte[] Image) Of(nopt_role role)
    {
        if (role == nopt_role.NOPT_ROLE_PARAM)
        {
            return Parameters;
        }

        GuardedLayout layout = LayoutOf(role);
        byte[] image = layout.NewImage();
        for (int tensor = 0; role == nopt_role.NOPT_ROLE_MASTER_PARAM && tensor < layout.TensorCount; tensor++)
        {
            if (layout.TypeOf(tensor) is not null)
            {
                Widen(
                    Parameters.Layout.TypeOf(tensor)!.Value, Parameters.Layout.Tensor(Parameters.Image, tensor),
                    layout.Tensor(image.AsSpan(), tensor));
            }
        }

        if (_case.StateOf(role) is { } state && InitialValueOf(state) is not 0 and var initial)
        {
            FillWith(layout, image, initial);
        }

        return (layout, image);
    }

    /// <summary>Draws new gradients for a place.</summary>
    public byte[] DrawGradient(int place, bool hasStrange) => Draw(Gradients[place], hasStrange);

    /// <summary>Draws new values of an input.</summary>
    public byte[] DrawInput(int input, bool hasStrange) => Draw(Inputs[input], hasStrange);

    private static void FillWith(GuardedLayout layout, byte[] image, float value)
    {
        for (int tensor = 0; tensor < layout.TensorCount; tensor++)
        {
            if (layout.TypeOf(tensor) is DType type)
            {
                SelftestNumbers.FillWith(value, type, layout.Tensor(image.AsSpan(), tensor));
            }
        }
    }

    private static void Widen(DType type, ReadOnlySpan<byte> from, Span<byte> to)
    {
        ReadOnlySpan<ushort> halves = MemoryMarshal.Cast<byte, ushort>(from);
        Span<float> singles = MemoryMarshal.Cast<byte, float>(to);
        for (int i = 0; i < halves.Length; i++)
        {
            singles[i] = type == DType.Float16
                ? (float)BitConverter.UInt16BitsToHalf(halves[i])
                : BitConverter.UInt32BitsToSingle((uint)halves[i] << 16);
        }
    }

    private byte[] Draw((GuardedLayout Layout, byte[] Image) buffer, bool hasStrange)
    {
        Fill(buffer.Layout, buffer.Image, hasStrange);
        return buffer.Image;
    }

    private float InitialValueOf(RuleState state) => (float)(state.InitialHyperparameter is { } name
        ? _case.Hyperparameters.values[_case.Options.Rule.GetHyperparameter(name).Index] : state.InitialValue);

    private void Fill(GuardedLayout layout, byte[] image, bool hasStrange)
    {
        for (int tensor = 0; tensor < layout.TensorCount; tensor++)
        {
            if (layout.TypeOf(tensor) is DType type)
            {
                SelftestNumbers.Fill(_random, type, layout.Tensor(image.AsSpan(), tensor), hasStrange);
            }
        }
    }

    private GuardedLayout LayoutOf(nopt_role role, int further = 0) => new(
        _case.Counts,
        tensor => _case.Arrangement.Alignment switch
        {
            SelftestAlignment.Aligned => 0,
            SelftestAlignment.Alike => (tensor + 1 + further) % 4,
            _ => (tensor + (int)role + further) % 4,
        },
        tensor => _case.TypeOf(role, tensor));
}
