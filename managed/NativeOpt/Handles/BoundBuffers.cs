using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// The buffers that an optimizer or a dimer bound to its set: where they are, and those that it allocated. For the handle
/// that owns it; unbinds and frees all of them with it.
/// </summary>
internal sealed unsafe class BoundBuffers(ParameterSetHandle set)
{
    private readonly Dictionary<nopt_role, Entry> _entries = [];

    public bool IsBound(nopt_role role) => _entries.ContainsKey(role);

    /// <summary>The bytes of everything that was allocated and is bound.</summary>
    public long AllocatedBytes => _entries.Values.Sum(static entry => entry.Owned?.ByteCount ?? 0);

    /// <summary>The address of each tensor's buffer.</summary>
    public ReadOnlySpan<nint> Pointers(nopt_role role) => _entries[role].Pointers;

    /// <summary>Binds a role's buffers, in place of earlier ones. Takes <paramref name="owned"/> if all goes well.</summary>
    public void Bind(nopt_role role, ReadOnlySpan<nint> pointers, MemoryHandle? owned)
    {
        if (owned is null && _entries.TryGetValue(role, out Entry? present) && present.Owned is null)
        {
            // The host's buffers move, perhaps at every step.
            NativeError.ThrowIfFailed(BindNative(role, pointers));
            pointers.CopyTo(present.Pointers);
            return;
        }

        Entry entry = new(pointers.ToArray(), owned);
        NativeError.ThrowIfFailed(BindNative(role, pointers));
        _entries.Remove(role, out Entry? replaced);
        _entries.Add(role, entry);
        replaced?.Owned?.Dispose();
    }

    /// <summary>
    /// Binds memory of one allocation for all tensors, zeroed or as <paramref name="initialize"/> leaves it. A tensor
    /// without elements has no address.
    /// </summary>
    public void Allocate(nopt_role role, BufferLayout layout, Action<nint[]>? initialize = null)
    {
        nint[] pointers = new nint[layout.Types.Length];
        MemoryHandle memory = MemoryHandle.AllocateZeroed(layout.Device, layout.AllocationByteCount);
        try
        {
            nint next = memory.DangerousGetHandle();
            for (int i = 0; i < pointers.Length; i++)
            {
                pointers[i] = layout.ElementCounts[i] == 0 ? 0 : next;
                next += (nint)layout.AllocationByteCountOf(i);
            }

            initialize?.Invoke(pointers);
            Bind(role, pointers, memory);
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }

    /// <summary>Unbinds a role and frees what was allocated for it, if anything is bound.</summary>
    public void Release(nopt_role role)
    {
        if (_entries.ContainsKey(role))
        {
            NativeError.ThrowIfFailed(BindNative(role, default));
            _entries.Remove(role, out Entry? entry);
            entry?.Owned?.Dispose();
        }
    }

    /// <summary>Unbinds and frees everything.</summary>
    public void ReleaseAll()
    {
        // Addresses of freed memory must not stay in the set: memory allocated there later would seem to overlap.
        foreach (nopt_role role in _entries.Keys)
        {
            SpinWait wait = default;
            while (BindNative(role, default) == nopt_status.NOPT_ERROR_BUSY)
            {
                wait.SpinOnce();
            }
        }

        foreach (Entry entry in _entries.Values)
        {
            entry.Owned?.Dispose();
        }

        _entries.Clear();
    }

    private nopt_status BindNative(nopt_role role, ReadOnlySpan<nint> pointers)
    {
        fixed (nint* first = pointers)
        {
            return NativeMethods.nopt_param_set_bind(
                (nopt_param_set*)set.DangerousGetHandle(), role, set.TensorCount, (void**)first);
        }
    }

    private sealed record Entry(nint[] Pointers, MemoryHandle? Owned);
}
