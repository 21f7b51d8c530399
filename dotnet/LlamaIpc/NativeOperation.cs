// A native call that can be cancelled.
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>
/// The scope of one native call that waits. It keeps the handle open, and it makes cancelling reliable:
/// lipc_classic_cancel reaches a call that is waiting and is otherwise forgotten, so a cancellation that comes just
/// before the call begins to wait is repeated until the call has returned, and never reaches a later one.
/// </summary>
internal sealed class NativeOperation : IDisposable
{
    private const int RepeatMs = 2;

    private readonly object gate = new();
    private readonly LipcClassicHandle handle;
    private bool active;
    private bool cancelRequested;
    private Timer? repeat;

    internal NativeOperation(LipcClassicHandle handle)
    {
        this.handle = handle;
        handle.DangerousAddRef(ref active);
    }

    internal bool CancelRequested => Volatile.Read(ref cancelRequested);

    /// <summary>Cancels the operation when the token is.</summary>
    internal CancellationTokenRegistration CancelWith(CancellationToken token) =>
        token.UnsafeRegister(static operation => ((NativeOperation)operation!).Cancel(), this);

    /// <summary>Ends the scope. The handle may be closed by it.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            if (!active)
            {
                return;
            }
            active = false;
            repeat?.Dispose();
        }
        handle.DangerousRelease();
    }

    /// <summary>Makes the native call return soon. Does not wait for it.</summary>
    internal void Cancel()
    {
        lock (gate)
        {
            if (!active || cancelRequested)
            {
                return;
            }
            Volatile.Write(ref cancelRequested, true);
            NativeMethods.ClassicCancel(handle);
            repeat = new Timer(static operation => ((NativeOperation)operation!).Repeat(), this, RepeatMs, RepeatMs);
        }
    }

    private void Repeat()
    {
        lock (gate)
        {
            if (active)
            {
                NativeMethods.ClassicCancel(handle);
            }
        }
    }
}
