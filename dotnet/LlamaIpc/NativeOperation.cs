// A native call that can be cancelled.
using System.Runtime.InteropServices;

namespace LlamaIpc;

/// <summary>
/// The scope of one native call that waits, or of several one after the other. It keeps the handle open, and it makes cancelling reliable:
/// lipc_classic_cancel and lipc_client_interrupt reach a call that is waiting and are otherwise forgotten, so a
/// cancellation that comes just before the call begins to wait is repeated until the call has returned, and never
/// reaches a later one.
/// </summary>
internal sealed class NativeOperation : IDisposable
{
    private const int RepeatMs = 2;

    private readonly object gate = new();
    private readonly SafeHandle handle;
    private readonly Action<SafeHandle> cancel;
    private bool active;
    private bool cancelRequested;
    private Timer? repeat;

    /// <summary>Begins the scope.</summary>
    /// <param name="handle">The handle that the call waits on.</param>
    /// <param name="cancel">The native function that makes a call waiting on it return.</param>
    /// <param name="begins">False: the first scope begins with <see cref="TryBeginNext"/>, too.</param>
    internal NativeOperation(SafeHandle handle, Action<SafeHandle> cancel, bool begins = true)
    {
        this.handle = handle;
        this.cancel = cancel;
        if (begins)
        {
            handle.DangerousAddRef(ref active);
        }
    }

    /// <summary>Begins the scope of the next call, where the one before has ended. False: it was cancelled.</summary>
    /// <exception cref="ObjectDisposedException">The handle is closed.</exception>
    internal bool TryBeginNext()
    {
        lock (gate)
        {
            if (cancelRequested)
            {
                return false;
            }
            handle.DangerousAddRef(ref active);
            return true;
        }
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

    /// <summary>Makes the native call return soon, and lets no next one begin. Does not wait for it.</summary>
    internal void Cancel()
    {
        lock (gate)
        {
            if (cancelRequested)
            {
                return;
            }
            Volatile.Write(ref cancelRequested, true);
            if (!active)
            {
                return;
            }
            cancel(handle);
            repeat = new Timer(static operation => ((NativeOperation)operation!).Repeat(), this, RepeatMs, RepeatMs);
        }
    }

    private void Repeat()
    {
        lock (gate)
        {
            if (active)
            {
                cancel(handle);
            }
        }
    }
}
