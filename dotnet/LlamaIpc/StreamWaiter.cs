// How asynchronous readers of streams wait: all of a client's on one thread.
using System.Threading.Tasks.Sources;
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>
/// One stream's place among those that are awaited. It serves one wait after the other, without allocating.
/// </summary>
internal sealed class StreamAwaiter(LipcStreamHandle stream) : IValueTaskSource, IThreadPoolWorkItem, IDisposable
{
    private ManualResetValueTaskSourceCore<bool> news;
    private Exception? failure;
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

    /// <summary>
    /// Ends the wait: there may be something to read, or an exception to be thrown. In a thread of the pool: what follows is
    /// the caller's code and must not occupy the waiter thread. The pool runs this object itself; what the source would
    /// post by itself is allocated anew each time.
    /// </summary>
    internal void Complete(Exception? exception = null)
    {
        failure = exception;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    void IThreadPoolWorkItem.Execute()
    {
        if (failure is null)
        {
            news.SetResult(true);
        }
        else
        {
            news.SetException(failure);
        }
    }

    public void GetResult(short token) => news.GetResult(token);

    public ValueTaskSourceStatus GetStatus(short token) => news.GetStatus(token);

    public void OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        news.OnCompleted(continuation, state, token, flags);
}

/// <summary>
/// Waits with lipc_client_wait_any, on one thread, for all streams of a client that somebody awaits. A stream that joins
/// or leaves does not end the native wait.
/// </summary>
internal sealed class StreamWaiter
{
    private readonly LipcClientHandle client;
    private readonly WaiterThread thread = new();
    private readonly Action serve;

    /// <summary>
    /// Guards the fields below. Whoever takes an awaiter out of those that are awaited ends its wait, and nobody else.
    /// </summary>
    private readonly object gate = new();
    private readonly Dictionary<IntPtr, StreamAwaiter> awaited = [];
    private readonly List<StreamAwaiter> paused = [];
    private bool serving;
    private bool stopped;

    internal StreamWaiter(LipcClientHandle client)
    {
        this.client = client;
        serve = Serve;
    }

    /// <summary>How many native waits have ended for another reason than that a stream had something or none was left.</summary>
    internal int Interruptions { get; private set; }

    /// <summary>
    /// Waits until a stream may have something to read. Returns early when <see cref="Release"/> says so: whoever waits
    /// looks.
    /// </summary>
    internal ValueTask WaitAsync(StreamAwaiter awaiter)
    {
        lock (gate)
        {
            ValueTask news = awaiter.Begin();
            if (stopped || !TryAwait(awaiter))
            {
                awaiter.Complete();
            }
            else if (!serving)
            {
                serving = thread.TryPost(serve);
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

    /// <summary>Ends the wait for a stream, if there is one.</summary>
    internal void Release(StreamAwaiter awaiter)
    {
        lock (gate)
        {
            EndPause(awaiter);
            if (awaited.GetValueOrDefault(awaiter.Stream.DangerousGetHandle()) == awaiter)
            {
                EndWait(awaiter);
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
        }
        thread.Stop();
    }

    /// <summary>The stream is among those that the native wait looks at. False: it is closed.</summary>
    private bool TryAwait(StreamAwaiter awaiter)
    {
        try
        {
            NativeMethods.StreamAwait(awaiter.Stream, wanted: 1);
            // The wait holds no reference: whoever closes a stream has released it here first.
            awaited[awaiter.Stream.DangerousGetHandle()] = awaiter;
            return true;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
    }

    private void EndWait(StreamAwaiter awaiter, Exception? exception = null)
    {
        awaited.Remove(awaiter.Stream.DangerousGetHandle());
        try
        {
            // Also if the native wait has found it: that may have been an earlier stream at the same address.
            NativeMethods.StreamAwait(awaiter.Stream, wanted: 0);
        }
        catch (ObjectDisposedException)
        {
            // Its close takes it out as well.
        }
        awaiter.Complete(exception);
    }

    /// <summary>By the thread, as long as anything is awaited: a client that was forgotten meanwhile is not kept alive.</summary>
    private void Serve()
    {
        bool isHeld = false;
        try
        {
            client.DangerousAddRef(ref isHeld);
            while (ServeOne())
            {
            }
        }
        catch (ObjectDisposedException)
        {
            lock (gate)
            {
                CompleteAll();
                serving = false;
            }
        }
        finally
        {
            if (isHeld)
            {
                client.DangerousRelease();
            }
        }
    }

    /// <summary>Waits for one stream. False: none is awaited any more.</summary>
    private unsafe bool ServeOne()
    {
        IntPtr found;
        int error = NativeMethods.ClientWaitAny(client, Timeout.Infinite, &found);
        string message = error == (int)LipcError.Ok ? "" : NativeMethods.LastErrorMessage(error);
        lock (gate)
        {
            if (error == (int)LipcError.Cancelled)
            {
                Interruptions++; // by a call for something else that was cancelled
            }
            else if (error != (int)LipcError.Ok)
            {
                EndWaits(LlamaIpcException.Of((LipcError)error, message));
            }
            else if (awaited.TryGetValue(found, out StreamAwaiter? awaiter))
            {
                EndWait(awaiter);
            }
            return serving = awaited.Count > 0;
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
            EndPause(paused[paused.Count - 1]);
        }
        EndWaits();
    }

    private void EndWaits(Exception? exception = null)
    {
        foreach (StreamAwaiter awaiter in awaited.Values.ToArray())
        {
            EndWait(awaiter, exception);
        }
    }
}
