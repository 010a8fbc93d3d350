using System.Buffers;
using NativeOpt.Interop;

namespace NativeOpt;

// What the host gives beside the gradient.
public abstract unsafe partial class Optimizer
{
    private readonly Dictionary<string, BufferLayout> _inputLayouts = [];

    /// <summary>
    /// Gives an input of the rule to later steps, after checking that the buffers fit. It stays bound, and steps read it, until
    /// <see cref="ClearInput"/>; a step without it does what <see cref="RuleInput.Meaning"/> says.
    /// </summary>
    /// <param name="input">The input's name, for example "hessian"; see <see cref="Rule.Inputs"/>.</param>
    /// <param name="buffers">
    /// The buffer of each parameter, in the same order: as many elements as the parameter has, of float32, bfloat16 or float16.
    /// A tensor whose buffer is at address 0 has no such input.
    /// </param>
    /// <exception cref="ArgumentException">
    /// The rule has no such input, there are fewer or more buffers than parameters, a length, device or alignment does not
    /// fit, or a buffer overlaps one that a step writes.
    /// </exception>
    /// <exception cref="NotSupportedException">An element type is not one of these three.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void SetInput(string input, ReadOnlySpan<TensorRef> buffers)
    {
        ThrowIfDisposed();
        RuleInput described = Rule.GetInput(input);
        BufferLayout parameters = ParameterSet.ParameterLayout;
        parameters.RequireCount(buffers.Length, nameof(buffers));
        BufferLayout present = InputLayout(described);
        DType[] types = present.Types.ToArray();
        for (int i = 0; i < buffers.Length; i++)
        {
            if (buffers[i].Pointer == 0)
            {
                continue;
            }

            if (!buffers[i].DType.IsNumber())
            {
                throw BufferLayout.NotANumber(buffers[i].DType, $"{nameof(buffers)}[{i}]");
            }

            parameters.RequireElements(buffers[i], i, nameof(buffers));
            types[i] = buffers[i].DType;
        }

        nint[] pointers = ArrayPool<nint>.Shared.Rent(buffers.Length);
        try
        {
            for (int i = 0; i < buffers.Length; i++)
            {
                pointers[i] = buffers[i].Pointer;
            }

            ReadOnlySpan<nint> addresses = pointers.AsSpan(0, buffers.Length);
            if (types.AsSpan().SequenceEqual(present.Types))
            {
                SetInput(input, addresses);
            }
            else
            {
                SetInput(described, parameters.With(types), addresses);
            }
        }
        finally
        {
            ArrayPool<nint>.Shared.Return(pointers);
        }
    }

    /// <summary>
    /// Gives an input of the rule to later steps, by address; see the overload with tensors. It allocates nothing once the
    /// input has been given before.
    /// </summary>
    /// <param name="input">The input's name, for example "hessian"; see <see cref="Rule.Inputs"/>.</param>
    /// <param name="buffers">
    /// The address of each parameter's buffer on the set's device: as many elements as the parameter has, of float32, or of the
    /// types that the last call of the overload with tensors had. A tensor whose address is 0 has no such input.
    /// </param>
    /// <exception cref="ArgumentException">
    /// The rule has no such input, there are fewer or more buffers than parameters, an address is misaligned, or a buffer
    /// overlaps one that a step writes.
    /// </exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void SetInput(string input, ReadOnlySpan<nint> buffers)
    {
        ThrowIfDisposed();
        nopt_role native = StateLayouts.NativeRole(Rule.GetInput(input));
        ParameterSet.RequireCount(buffers.Length, nameof(buffers));
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            _handle.Buffers.Bind(native, buffers, owned: null);
        }
    }

    /// <summary>Takes an input of the rule away: later steps do without it. Does nothing if there is none.</summary>
    /// <param name="input">The input's name, for example "hessian".</param>
    /// <exception cref="ArgumentException">The rule has no such input.</exception>
    /// <exception cref="ConcurrentUseException">The set is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The optimizer or its set is disposed of.</exception>
    public void ClearInput(string input)
    {
        ThrowIfDisposed();
        nopt_role native = StateLayouts.NativeRole(Rule.GetInput(input));
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            _handle.Buffers.Release(native);
        }
    }

    /// <summary>What the buffers of an input are made of now.</summary>
    private BufferLayout InputLayout(RuleInput input) =>
        _inputLayouts.GetValueOrDefault(input.Name, ParameterSet.Float32Layout);

    /// <summary>Binds buffers of other types than before.</summary>
    private void SetInput(RuleInput input, BufferLayout layout, ReadOnlySpan<nint> addresses)
    {
        HostBuffers buffers = new(StateLayouts.NativeRole(input), addresses.ToArray(), InputLayout(input), layout);
        lock (_stateLock)
        {
            using HandleLease lease = new(_handle, this);
            _handle.Buffers.BindAll([buffers]);
            _inputLayouts[input.Name] = layout;
        }
    }
}
