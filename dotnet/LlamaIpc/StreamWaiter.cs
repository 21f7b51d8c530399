// How asynchronous readers of streams wait: all of a client's on one thread.
using System.Threading.Tasks.Sources;
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>
/// One stream's place among those that are awaited. It serves one wait after the other, without allocating.
/// </summary>
internal sealed class StreamAwaiter(LipcStreamHandle stream) : IValueTaskSource, IDisposable
{
    // Continuations elsewhere: they are the caller's code and must not occupy the waiter thread.
    private ManualResetValueTaskSourceCore<bool> news = new() { RunContinuationsAsynchronously = true };

    private Timer? pause;

    internal LipcStreamHandle Stream => stream;

    public void Dispose() => pause?.Dispose();

    /// <summary>Calls back once, so much later. The timer is made once for each stream.</summary>
    internal void StartClock(TimerCallback onOver, int milliseconds)
    {
        pause ??= new Timer(onOver, this, Timeout.Infinite, Timeout.Infinite);
        pause.Change(milliseconds, Timeout.Infinite);
    }

    /// <summary>Begins a wait. The one before must have been awaited to its end.</summary>
    internal ValueTask Begin()
    {
        news.Reset();
        return new ValueTask(this, news.Version);
    }

    /// <summary>Ends the wait: there may be something to read.</summary>
    internal void Complete() => news.SetResult(true);

    /// <summary>Ends the wait with an exception.</summary>
    internal void Fail(Exception e) => news.SetException(e);

    public void GetResult(short token) => news.GetResult(token);

    public ValueTaskSourceStatus GetStatus(short token) => news.GetStatus(token);

    public void OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        news.OnCompleted(continuation, state, token, flags);
}

/// <summary>
/// Waits with lipc_stream_wait_any, on one thread, for all streams of a client that somebody awaits. A stream that
/// joins or leaves interrupts the native wait, which then begins anew with the streams there are.
/// </summary>
internal sealed class StreamWaiter(LipcClientHandle client)
{
    private readonly WaiterThread thread = new();

    /// <summary>
    /// Guards the fields below. Whoever takes an awaiter out of the list ends its wait, and nobody else.
    /// </summary>
    private readonly object gate = new();
    private readonly List<StreamAwaiter> awaited = [];
    private readonly List<StreamAwaiter> paused = [];
    private NativeOperation? wait;
    private bool serving;
    private bool stopped;

    /// <summary>The streams of the native wait under way. They belong to the thread.</summary>
    private readonly List<StreamAwaiter> held = [];
    private IntPtr[] streams = new IntPtr[8];

    /// <summary>
    /// Waits until a stream may have something to read. Returns early when <see cref="Release"/> says so: whoever waits
    /// looks.
    /// </summary>
    internal ValueTask WaitAsync(StreamAwaiter awaiter)
    {
        lock (gate)
        {
            ValueTask news = awaiter.Begin();
            if (stopped)
            {
                awaiter.Complete();
                return news;
            }
            awaited.Add(awaiter);
            wait?.Cancel();
            if (!serving)
            {
                serving = thread.TryPost(Serve);
            }
            return news;
        }
    }

    /// <summary>
    /// Waits for a time, without waiting for the stream: what comes meanwhile wakes nobody. Returns early when
    /// <see cref="Release"/> says so.
    /// </summary>
    internal ValueTask PauseAsync(StreamAwaiter awaiter, int milliseconds)
    {
        lock (gate)
        {
            ValueTask over = awaiter.Begin();
            if (stopped)
            {
                awaiter.Complete();
                return over;
            }
            paused.Add(awaiter);
            awaiter.StartClock(OnPauseOver, milliseconds);
            return over;
        }
    }

    /// <summary>Ends the wait for a stream, if there is one, and lets go of its handle soon.</summary>
    internal void Release(StreamAwaiter awaiter)
    {
        lock (gate)
        {
            EndPause(awaiter);
            if (awaited.Remove(awaiter))
            {
                awaiter.Complete();
                wait?.Cancel();
            }
        }
    }

    /// <summary>Ends all waits and, soon, the thread.</summary>
    internal void Stop()
    {
        lock (gate)
        {
            stopped = true;
            CompleteAll();
            wait?.Cancel();
        }
        thread.Stop();
    }

    private void Serve()
    {
        while (Begin() is NativeOperation operation)
        {
            int error = WaitAny(out int index);
            string message = error == (int)LipcError.Ok ? "" : NativeMethods.LastErrorMessage(error);
            End(operation, error, message, index);
        }
    }

    /// <summary>Takes hold of the streams that are awaited; null: there are none.</summary>
    private NativeOperation? Begin()
    {
        lock (gate)
        {
            for (int i = awaited.Count - 1; i >= 0; i--)
            {
                Hold(awaited[i]);
            }
            try
            {
                wait = held.Count == 0
                    ? null
                    : client.BeginOperation();
            }
            catch (ObjectDisposedException)
            {
                wait = null;
                CompleteAll();
                LetGo();
            }
            serving = wait != null;
            return wait;
        }
    }

    private void Hold(StreamAwaiter awaiter)
    {
        bool isHeld = false;
        try
        {
            awaiter.Stream.DangerousAddRef(ref isHeld);
            held.Add(awaiter);
        }
        catch (ObjectDisposedException)
        {
            awaited.Remove(awaiter);
            awaiter.Complete();
        }
    }

    private unsafe int WaitAny(out int index)
    {
        if (streams.Length < held.Count)
        {
            streams = new IntPtr[2 * held.Count];
        }
        for (int i = 0; i < held.Count; i++)
        {
            streams[i] = held[i].Stream.DangerousGetHandle();
        }
        nuint found = 0;
        int error;
        fixed (IntPtr* first = streams)
        {
            error = NativeMethods.StreamWaitAny(first, (nuint)held.Count, Timeout.Infinite, &found);
        }
        index = (int)found;
        return error;
    }

    private void End(NativeOperation operation, int error, string message, int index)
    {
        lock (gate)
        {
            wait = null;
            if (error == (int)LipcError.Ok)
            {
                CompleteOne(held[index]);
            }
            else if (error != (int)LipcError.Cancelled)
            {
                FailHeld(error, message);
            }
        }
        operation.Dispose();
        LetGo();
    }

    private void CompleteOne(StreamAwaiter awaiter)
    {
        if (awaited.Remove(awaiter))
        {
            awaiter.Complete();
        }
    }

    private void FailHeld(int error, string message)
    {
        foreach (StreamAwaiter awaiter in held)
        {
            if (awaited.Remove(awaiter))
            {
                awaiter.Fail(LlamaIpcException.Of((LipcError)error, message));
            }
        }
    }

    /// <summary>By the clock. One that is late, of a pause that was ended early, may end the next one early as well.</summary>
    private void OnPauseOver(object? awaiter)
    {
        lock (gate)
        {
            EndPause((StreamAwaiter)awaiter!);
        }
    }

    private void EndPause(StreamAwaiter awaiter)
    {
        if (paused.Remove(awaiter))
        {
            awaiter.Complete();
        }
    }

    private void CompleteAll()
    {
        while (paused.Count > 0)
        {
            EndPause(paused[^1]);
        }
        foreach (StreamAwaiter awaiter in awaited)
        {
            awaiter.Complete();
        }
        awaited.Clear();
    }

    private void LetGo()
    {
        foreach (StreamAwaiter awaiter in held)
        {
            awaiter.Stream.DangerousRelease();
        }
        held.Clear();
    }
}
