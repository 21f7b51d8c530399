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

    /// <summary>Nothing more is written to the stream; what was may be unread.</summary>
    internal unsafe bool HasEnded
    {
        get
        {
            LipcProgress now;
            try
            {
                return NativeMethods.StreamProgress(stream, &now, (nuint)sizeof(LipcProgress)) != (int)LipcError.Ok
                    || now.State == (int)LlamaStreamState.Ended;
            }
            catch (ObjectDisposedException)
            {
                return true;
            }
        }
    }

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
    /// the caller's code and must not occupy this one. The pool runs this object itself; what the source would post by
    /// itself is allocated anew each time.
    /// </summary>
    internal void Complete(Exception? exception = null)
    {
        failure = exception;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>The same on this thread, without changing threads: returns when the caller's code waits again or ends.</summary>
    internal void CompleteHere()
    {
        failure = null;
        news.SetResult(true);
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
/// <remarks>
/// Where one stream is awaited, which is nearly always, its reader continues on the thread that has waited: another change of
/// threads takes longer than all the rest of the way from the token to the loop (docs/dotnet/side-by-side.md). The reader may
/// do what it likes there, also block or never return: whoever awaits a stream meanwhile has another thread wait. In a window
/// the loop itself continues on the window's thread in any case. Where others are awaited at that moment, the reader continues
/// in the pool, and so it does where the stream has ended: what follows may be the rest of the program.
/// </remarks>
internal sealed class StreamWaiter
{
    private readonly LipcClientHandle client;
    private readonly WaiterThread thread = new(mayRunCallersCode: true);
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
        serve = () => Serve()?.CompleteHere();
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
                serving = TryServe(awaiter);
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

    /// <summary>Has a thread wait. Without one, nothing is awaited.</summary>
    private bool TryServe(StreamAwaiter awaiter)
    {
        try
        {
            return thread.TryPost(serve);
        }
        catch
        {
            Take(awaiter);
            throw;
        }
    }

    private void EndWait(StreamAwaiter awaiter, Exception? exception = null)
    {
        Take(awaiter);
        awaiter.Complete(exception);
    }

    /// <summary>The stream is awaited no more: it is for the caller to end its wait.</summary>
    private void Take(StreamAwaiter awaiter)
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
    }

    /// <summary>
    /// By the thread, as long as anything is awaited: a client that was forgotten meanwhile is not kept alive, nor one that
    /// is disposed of by the reader that continues on this thread. Returns whose wait is to be ended here, if anybody's.
    /// </summary>
    private StreamAwaiter? Serve()
    {
        bool isHeld = false;
        StreamAwaiter? last = null;
        try
        {
            client.DangerousAddRef(ref isHeld);
            while (ServeOne(out last))
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
        return last;
    }

    /// <summary>Waits for one stream. False: none is awaited any more, and whose wait is still to be ended.</summary>
    private unsafe bool ServeOne(out StreamAwaiter? last)
    {
        last = null;
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
            else if (awaited.TryGetValue(found, out StreamAwaiter? awaiter) && (awaited.Count > 1 || awaiter.HasEnded))
            {
                EndWait(awaiter);
            }
            else if (awaiter != null)
            {
                Take(awaiter);
                last = awaiter;
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
