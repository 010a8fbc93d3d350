using NativeOpt.Cli.Training;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>Where a case's tensors lie, and what is there at first: the same for all models of the case.</summary>
internal sealed class SelftestBuffers
{
    private readonly SelftestCase _case;
    private readonly DeterministicRandom _random;
    private readonly uint[] _parameters;

    public SelftestBuffers(SelftestCase one, DeterministicRandom random)
    {
        (_case, _random) = (one, random);
        _parameters = LayoutOf((int)nopt_role.NOPT_ROLE_PARAM).NewImage();
        Gradients = [Place(0), Place(1)];
        Fill(LayoutOf((int)nopt_role.NOPT_ROLE_PARAM), _parameters, hasStrange: false);

        (GuardedLayout Layout, uint[] Image) Place(int place)
        {
            // The first place is where a framework's gradients are most often; the second is at another alignment.
            bool isElsewhere = place == 1 && one.Arrangement.Alignment != SelftestAlignment.Aligned;
            GuardedLayout layout = LayoutOf((int)nopt_role.NOPT_ROLE_GRAD, isElsewhere ? 1 : 0);
            return (layout, layout.NewImage());
        }
    }

    /// <summary>Two places that gradients are put to in turn: frameworks give them new addresses.</summary>
    public (GuardedLayout Layout, uint[] Image)[] Gradients { get; }

    /// <summary>Any role but the gradients: random parameters, all else zero.</summary>
    public (GuardedLayout Layout, uint[] Image) Of(nopt_role role)
    {
        GuardedLayout layout = LayoutOf((int)role);
        return (layout, role == nopt_role.NOPT_ROLE_PARAM ? _parameters : layout.NewImage());
    }

    /// <summary>Draws new gradients for a place.</summary>
    public uint[] DrawGradient(int place, bool hasStrange)
    {
        (GuardedLayout layout, uint[] image) = Gradients[place];
        Fill(layout, image, hasStrange);
        return image;
    }

    private void Fill(GuardedLayout layout, uint[] image, bool hasStrange)
    {
        for (int tensor = 0; tensor < layout.TensorCount; tensor++)
        {
            SelftestNumbers.Fill(_random, layout.Tensor(image.AsSpan(), tensor), hasStrange);
        }
    }

    private GuardedLayout LayoutOf(int role, int further = 0) => new(_case.Counts, tensor =>
        _case.Arrangement.Alignment switch
        {
            SelftestAlignment.Aligned => 0,
            SelftestAlignment.Alike => (tensor + 1 + further) % 4,
            _ => (tensor + role + further) % 4,
        });
}
