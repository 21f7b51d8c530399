// The owner of a native lipc_classic handle.
using System.Runtime.InteropServices;

namespace LlamaIpc.Native;

/// <summary>
/// Owns a <c>lipc_classic</c>. Its reference count keeps the native handle open while a call is under way, so that it
/// can be disposed from any thread at any time, as lipc_classic_close requires.
/// </summary>
internal sealed class LipcClassicHandle : SafeHandle
{
    /// <summary>Makes an empty handle for the marshaller to fill.</summary>
    public LipcClassicHandle()
        : base(IntPtr.Zero, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == IntPtr.Zero;

    /// <summary>Makes a native handle for an instance name. Connects to nothing yet.</summary>
    /// <exception cref="LlamaIpcException">The name is not valid, or there is no memory.</exception>
    internal static unsafe LipcClassicHandle Open(string? name)
    {
        using NativeText text = new();
        int error = NativeMethods.ClassicOpen(text.Add(name, nameof(name)), out LipcClassicHandle handle);
        if (error == (int)LipcError.Ok)
        {
            return handle;
        }
        string message = NativeMethods.LastErrorMessage(error);
        handle.Dispose();
        throw LlamaIpcException.Of((LipcError)error, message);
    }

    protected override bool ReleaseHandle()
    {
        NativeMethods.ClassicClose(handle);
        return true;
    }
}
