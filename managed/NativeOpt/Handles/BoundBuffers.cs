using System.Runtime.CompilerServices;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// The buffers that an optimizer or a dimer bound to its set: where they are, and those that it allocated. For the handle
/// that owns it; unbinds and frees all of them with it.
/// </summary>
internal sealed unsafe class BoundBuffers(ParameterSetHandle set)
{
    private readonly Dictionary<nopt_role, Entry> _entries = [];
    private readonly HashSet<nopt_role> _released = [];

    public bool IsBound(nopt_role role) => _entries.ContainsKey(role);

    /// <summary>Whether a role's buffers were the host's until <see cref="ReleaseHosts"/>, and none were bound since.</summary>
    public bool IsReleased(nopt_role role) => _released.Contains(role);

    /// <summary>Whether a role's buffers are the host's.</summary>
    public bool IsOfHost(nopt_role role) => _entries.TryGetValue(role, out Entry? entry) && entry.Owned is null;

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

        RequireNotInFreed(pointers, [role]);
        NativeError.ThrowIfFailed(BindNative(role, pointers));
        Replace(role, new Entry(pointers.ToArray(), owned));
    }

    /// <summary>
    /// Binds the host's buffers of several roles, in place of earlier ones, and changes what they are made of: all of it, or
    /// nothing if that fails. A role's new addresses may be another one's old ones.
    /// </summary>
    public void BindAll(IReadOnlyList<HostBuffers> all)
    {
        foreach (HostBuffers own in all)
        {
            RequireNotInFreed(own.Pointers, all.Select(static replaced => replaced.Role));
        }

        HostBuffers[] retyped = [.. all.Where(static own => own.NewLayout is not null)];

        // The types of a role can change only while it is not bound.
        nopt_role[] unbound = [.. retyped.Select(static own => own.Role).Where(IsBound)];
        NativeError.ThrowIfFailed(BindNative(unbound, _ => null));
        try
        {
            foreach (HostBuffers own in retyped)
            {
                NativeError.ThrowIfFailed(set.TrySetTypes(own.Role, own.NewLayout!));
            }

            NativeError.ThrowIfFailed(BindNative([.. all.Select(static own => own.Role)], i => all[i].Pointers));
        }
        catch
        {
            foreach (HostBuffers own in retyped)
            {
                _ = OnceFree(() => set.TrySetTypes(own.Role, own.Layout));
            }

            _ = OnceFree(() => BindNative(unbound, i => _entries[unbound[i]].Pointers));
            throw;
        }

        foreach (HostBuffers own in all)
        {
            Replace(own.Role, new Entry(own.Pointers, null));
        }
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

    /// <summary>Unbinds those of some roles that the host bound: all of them, or none.</summary>
    public void ReleaseHosts(IEnumerable<nopt_role> roles)
    {
        nopt_role[] released = [.. roles.Where(IsOfHost)];
        NativeError.ThrowIfFailed(BindNative(released, static _ => null));
        foreach (nopt_role role in released)
        {
            _entries.Remove(role);
            _released.Add(role);
        }
    }

    /// <summary>Unbinds and frees everything.</summary>
    public void ReleaseAll()
    {
        // Addresses of freed memory must not stay in the set: memory allocated there later would seem to overlap.
        foreach (nopt_role role in _entries.Keys)
        {
            _ = OnceFree(() => BindNative(role, default));
        }

        foreach (Entry entry in _entries.Values)
        {
            entry.Owned?.Dispose();
        }

        _entries.Clear();
    }

    private void Replace(nopt_role role, Entry entry)
    {
        _entries.Remove(role, out Entry? replaced);
        _entries.Add(role, entry);
        _released.Remove(role);
        replaced?.Owned?.Dispose();
    }

    /// <summary>Throws if an address lies in memory that is freed when other buffers take a role's place.</summary>
    private void RequireNotInFreed(ReadOnlySpan<nint> buffers, IEnumerable<nopt_role> replaced)
    {
        foreach (nopt_role role in replaced)
        {
            if (!_entries.TryGetValue(role, out Entry? entry) || entry.Owned is not { } freed)
            {
                continue;
            }

            nint begin = freed.DangerousGetHandle();
            foreach (nint pointer in buffers)
            {
                if (pointer >= begin && pointer - begin < freed.ByteCount)
                {
                    throw new ArgumentException(
                        $"{nameof(buffers)} has the address 0x{pointer:x}, where the optimizer allocated a state that this call "
                        + "replaces: its memory is freed then. Bind memory of your own.",
                        nameof(buffers));
                }
            }
        }
    }

    /// <summary>Makes a native call as soon as no other thread uses the set.</summary>
    private static nopt_status OnceFree(Func<nopt_status> call)
    {
        SpinWait wait = default;
        nopt_status status;
        while ((status = call()) == nopt_status.NOPT_ERROR_BUSY)
        {
            wait.SpinOnce();
        }

        return status;
    }

    /// <summary>Binds several roles, or unbinds those whose addresses are null: all of them, or none.</summary>
    private nopt_status BindNative(nopt_role[] roles, Func<int, nint[]?> pointersOf)
    {
        // The tables of addresses lie behind a table of where each one begins.
        nint[] tables = GC.AllocateArray<nint>(roles.Length * (1 + set.TensorCount) + 1, pinned: true);
        nint first = (nint)Unsafe.AsPointer(ref tables[0]);
        for (int i = 0; i < roles.Length; i++)
        {
            if (pointersOf(i) is { } pointers)
            {
                int begin = roles.Length + (i * set.TensorCount);
                pointers.AsSpan().CopyTo(tables.AsSpan(begin));
                tables[i] = first + (begin * sizeof(nint));
            }
        }

        nopt_status status = set.Bind(roles, (void***)first);
        GC.KeepAlive(tables);
        return status;
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

/// <summary>Buffers of the host for a role.</summary>
/// <param name="Role">The role.</param>
/// <param name="Pointers">The address of each tensor's buffer.</param>
/// <param name="Layout">What the role's buffers have been made of up to now.</param>
/// <param name="NewLayout">What these are made of; null: of the same.</param>
internal readonly record struct HostBuffers(nopt_role Role, nint[] Pointers, BufferLayout Layout, BufferLayout? NewLayout);
