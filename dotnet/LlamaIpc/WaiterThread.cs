// The thread of a client that waits in the native library, so that asynchronous calls block no thread of the pool.
using System.Runtime.CompilerServices;

namespace LlamaIpc;

/// <summary>
/// Runs pieces of work one after the other on a thread of its own, which starts with the first of them.
/// </summary>
/// <param name="name">Of the thread.</param>
/// <param name="mayRunCallersCode">
/// Work may end in the caller's code, which may take as long as it likes. So work that is posted while no thread is free gets
/// another one, which ends when it has been idle for a second.
/// </param>
internal sealed class WaiterThread(string name = "LlamaIpc waiter", bool mayRunCallersCode = false)
{
    private const int SpareMs = 1000;

    private readonly object gate = new();
    private readonly Queue<Action> work = new();
    private int threads;
    private int idle;
    private bool stopped;

    /// <summary>Runs a piece of work that waits, seldom needed, on a thread that is made for it.</summary>
    internal static async Task<T> RunOnOwn<T>(Func<T> function)
    {
        WaiterThread thread = new("LlamaIpc call");
        Task<T> done = thread.Run(function);
        thread.Stop();
        return await done.ConfigureAwait(false);
    }

    /// <inheritdoc cref="RunOnOwn{T}(Func{T})"/>
    internal static Task RunOnOwn(Action action) => RunOnOwn(() =>
    {
        action();
        return true;
    });

    /// <summary>Runs a function on the thread. What it throws comes out of the task.</summary>
    internal Task<T> Run<T>(Func<T> function)
    {
        // Continuations elsewhere: they are the caller's code and must not occupy this thread.
        TaskCompletionSource<T> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool isPosted = TryPost(() => Complete(function, completion));
        ObjectDisposedException.ThrowIf(!isPosted, typeof(LlamaCppStreamingClient));
        return completion.Task;
    }

    /// <summary>Runs something that throws nothing on the thread. False: the thread has been told to end.</summary>
    internal bool TryPost(Action action)
    {
        lock (gate)
        {
            if (stopped)
            {
                return false;
            }
            if (threads == 0 || (mayRunCallersCode && idle <= work.Count))
            {
                StartThread();
            }
            work.Enqueue(action);
            Monitor.Pulse(gate);
            return true;
        }
    }

    /// <summary>Ends the thread after the work it has. Does not wait for it.</summary>
    internal void Stop()
    {
        lock (gate)
        {
            stopped = true;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>
    /// With the gate held. Where the system has no thread left, those that there are do the work later, unless there are none.
    /// </summary>
    private void StartThread()
    {
        try
        {
            // Without the execution context of this call, whose values would live as long as the thread.
            new Thread(Loop) { IsBackground = true, Name = name }.UnsafeStart();
            threads++;
        }
        catch (Exception e) when (threads > 0 && e is OutOfMemoryException or ThreadStartException)
        {
        }
    }

    private static void Complete<T>(Func<T> function, TaskCompletionSource<T> completion)
    {
        try
        {
            completion.SetResult(function());
        }
        catch (Exception e)
        {
            completion.SetException(e);
        }
    }

    private void Loop()
    {
        ExecutionContext context = ExecutionContext.Capture()!; // this thread's own, which has nothing in it
        while (RunNext(context))
        {
        }
    }

    /// <summary>
    /// Waits for a piece of work and runs it; false: there will be no more for this thread. A method of its own, so that
    /// while the thread waits nothing on its stack keeps the last piece of work alive, and with it a client that was
    /// forgotten.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool RunNext(ExecutionContext context)
    {
        Action action;
        lock (gate)
        {
            while (work.Count == 0)
            {
                if (stopped || !WaitForWork())
                {
                    threads--;
                    return false;
                }
            }
            action = work.Dequeue();
        }
        // What the caller's code has set for its calls, or of the thread, is not for the next caller. The .NET Framework takes a
        // context only once; elsewhere a copy is the same object.
        ExecutionContext.Run(context.CreateCopy(), static action => ((Action)action!)(), action);
        Thread thread = Thread.CurrentThread;
        if (!thread.IsBackground)
        {
            thread.IsBackground = true;
        }
        if (thread.Priority != ThreadPriority.Normal)
        {
            thread.Priority = ThreadPriority.Normal;
        }
        return true;
    }

    /// <summary>With the gate held. False: there was none for so long that one thread less will do.</summary>
    private bool WaitForWork()
    {
        idle++;
        bool isWoken = Monitor.Wait(gate, threads > 1 ? SpareMs : Timeout.Infinite);
        idle--;
        return isWoken || work.Count > 0 || threads == 1;
    }
}
