using System.Text;
using global::TorchSharp;

namespace NativeOpt.TorchSharp.Modules;

// State files. TorchSharp writes and reads them through the dictionary; what differs here are the signs of some states.
public abstract partial class FusedOptimizer
{
    private bool _hasTorchSigns;

    /// <summary>Writes the options and states to a file, in TorchSharp's format where it has the optimizer.</summary>
    /// <param name="location">
    /// The file's path. A file that is there is replaced when the new one is whole, and stays as it is if that fails.
    /// </param>
    /// <exception cref="InvalidOperationException">A parameter was disposed of, or the module has others by now.</exception>
    public new void save_state_dict(string location) =>
        AtomicFile.Write(
            location,
            file =>
            {
                using BinaryWriter writer = new(file, Encoding.UTF8, leaveOpen: true);
                save_state_dict(writer);
            });

    /// <summary>Writes the options and states, in TorchSharp's format where it has the optimizer.</summary>
    /// <param name="writer">Where to.</param>
    /// <exception cref="ArgumentNullException"><paramref name="writer"/> is null.</exception>
    /// <exception cref="InvalidOperationException">A parameter was disposed of, or the module has others by now.</exception>
    public new void save_state_dict(BinaryWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        WithTorchSigns(() => base.save_state_dict(writer));
    }

    /// <summary>Reads a file of options and states that an optimizer of the same class wrote, TorchSharp's own included.</summary>
    /// <param name="location">The file's path.</param>
    /// <inheritdoc cref="load_state_dict(BinaryReader)" path="/exception"/>
    public new void load_state_dict(string location)
    {
        using FileStream file = File.OpenRead(location);
        using BinaryReader reader = new(file);
        load_state_dict(reader);
    }

    /// <summary>Reads options and states that an optimizer of the same class wrote, TorchSharp's own included.</summary>
    /// <param name="reader">Where from.</param>
    /// <exception cref="ArgumentNullException"><paramref name="reader"/> is null.</exception>
    /// <exception cref="InvalidDataException">
    /// Another class of optimizer wrote them, or one of another rule, with other master weights or of parameters of other shapes.
    /// </exception>
    /// <exception cref="ArgumentException">There are more or fewer groups or parameters.</exception>
    /// <exception cref="EndOfStreamException">The stream ends too early.</exception>
    /// <exception cref="InvalidOperationException">A parameter was disposed of, or the module has others by now.</exception>
    /// <remarks>
    /// TorchSharp's reader takes one group's options and one parameter's state after the other. So where a later one does not fit,
    /// those before it have been read already. An optimizer of another class or with other numbers of groups or parameters changes
    /// nothing.
    /// </remarks>
    public new void load_state_dict(BinaryReader reader)
    {
        ArgumentNullException.ThrowIfNull(reader);
        WithTorchSigns(() => base.load_state_dict(reader));
        for (int i = 0; i < _fused.Length; i++)
        {
            CountByBuffers(i);
        }
    }

    /// <summary>Whether the states of a group with these options have the other sign in TorchSharp.</summary>
    private protected virtual bool HasOtherSignInTorch(TorchOptions options) => false;

    private bool HasTurnedStates(int group) =>
        _access is TorchStateAccess && HasOtherSignInTorch(_groups[group].Group.Options);

    /// <summary>Does something while the states have TorchSharp's signs, by the options before and after it.</summary>
    private void WithTorchSigns(Action action)
    {
        TurnStates();
        _hasTorchSigns = true;
        try
        {
            action();
        }
        finally
        {
            _hasTorchSigns = false;
            TurnStates();
        }
    }

    private void TurnStates()
    {
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            foreach (torch.Tensor state in TurnedStates())
            {
                state.neg_();
            }
        }
    }

    /// <summary>Throws where the states themselves would be taken for ones with TorchSharp's signs.</summary>
    private void RequireTorchSigns()
    {
        if (!_hasTorchSigns && TurnedStates().Any())
        {
            throw new InvalidOperationException(
                $"With maximize the states of {GetType().Name} have the other sign than those of TorchSharp's class, so that there is "
                + "no dictionary of them. Save and load files: by save_state_dict and load_state_dict of the class "
                + $"NativeOpt.TorchSharp.Modules.{GetType().Name} itself, since those of OptimizerHelper take the dictionary.");
        }
    }

    private IEnumerable<torch.Tensor> TurnedStates()
    {
        for (int i = 0; i < _fused.Length; i++)
        {
            for (int state = 0; HasTurnedStates(_fused[i].Group) && state < TensorCount; state++)
            {
                if (_access.Get(_states[i], state) is { IsInvalid: false } tensor)
                {
                    yield return tensor;
                }
            }
        }
    }
}
