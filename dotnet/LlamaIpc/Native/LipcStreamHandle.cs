// The owner of a native lipc_stream handle.
using System.Runtime.InteropServices;

namespace LlamaIpc.Native;

/// <summary>
/// Owns a <c>lipc_stream</c>. Its reference count keeps the native handle open while a call is under way, as
/// lipc_stream_close requires. Closing it ends the host's work, unless it is let go.
/// </summary>
internal sealed class LipcStreamHandle : SafeHandle
{
    private volatile bool letGo;

    /// <summary>Makes an empty handle for the marshaller to fill.</summary>
    public LipcStreamHandle()
        : base(IntPtr.Zero, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == IntPtr.Zero;

    /// <summary>Closes the handle, as soon as no call is under way, without ending the host's work.</summary>
    internal void LetGo()
    {
        letGo = true;
        Dispose();
    }

    protected override bool ReleaseHandle()
    {
        if (letGo)
        {
            NativeMethods.StreamDetach(handle);
        }
        else
        {
            NativeMethods.StreamClose(handle);
        }
        return true;
    }
}
