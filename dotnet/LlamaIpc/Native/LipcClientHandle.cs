// The owner of a native lipc_client handle.
using System.Runtime.InteropServices;

namespace LlamaIpc.Native;

/// <summary>
/// Owns a <c>lipc_client</c>. Its reference count keeps the native handle open while a call is under way, as
/// lipc_client_close requires.
/// </summary>
internal sealed class LipcClientHandle : SafeHandle
{
    private readonly ManualResetEventSlim closed = new();

    /// <summary>Makes an empty handle for the marshaller to fill.</summary>
    public LipcClientHandle()
        : base(IntPtr.Zero, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == IntPtr.Zero;

    /// <summary>Attaches to a host, or starts one first, as the options say. Blocks.</summary>
    /// <exception cref="LlamaIpcException">It failed.</exception>
    internal static unsafe LipcClientHandle Open(LlamaClientOptions options)
    {
        using NativeText text = new();
        LipcClientOptions native;
        NativeMethods.ClientOptionsInit(&native, (nuint)sizeof(LipcClientOptions));
        native.Start = (int)options.Start;
        native.Name = text.Add(Instance.EffectiveName(options.InstanceName), nameof(options.InstanceName));
        string? program = HostProgram.TryFind(options.HostPath);
        native.HostPath = text.Add(program ?? options.HostPath, nameof(options.HostPath));
        native.HostArguments = text.Add(options.EffectiveArguments, nameof(options.HostArguments));
        native.TimeoutMs = Deadline.In(options.AttachTimeout).RemainingMs;
        native.WakesPerSecond = options.WakesPerSecond;

        int error = NativeMethods.ClientOpen(&native, out LipcClientHandle handle);
        if (error == (int)LipcError.Ok)
        {
            return handle;
        }
        string message = NativeMethods.LastErrorMessage(error);
        handle.Dispose();
        if (options.Start != HostStart.Never && program is null && error == (int)LipcError.NoHost)
        {
            throw HostProgram.NotFound(options.HostPath);
        }
        throw error == (int)LipcError.NoHost && options.Start != HostStart.Never
            ? new HostStartException(LipcError.NoHost, message)
            : LlamaIpcException.Of((LipcError)error, message);
    }

    /// <summary>Begins the scope of a call that waits on this client.</summary>
    /// <exception cref="ObjectDisposedException">The handle is closed.</exception>
    internal NativeOperation BeginOperation() => new(this, Interrupt);

    /// <summary>The scopes of several calls that wait on this client, one after the other.</summary>
    internal NativeOperation Operations() => new(this, Interrupt, begins: false);

    /// <summary>Waits until the native handle is closed, which the last call under way does.</summary>
    internal void WaitClosed(TimeSpan limit) => closed.Wait(limit);

    private static void Interrupt(SafeHandle client) => NativeMethods.ClientInterrupt((LipcClientHandle)client);

    protected override bool ReleaseHandle()
    {
        NativeMethods.ClientClose(handle);
        closed.Set();
        return true;
    }
}
