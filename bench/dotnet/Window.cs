// The thread of a window, without a window: a message loop that knows how long its messages took.
using System.Collections.Concurrent;
using System.Diagnostics;

namespace LlamaIpc.Bench;

/// <summary>Runs what is posted to it, one message after the other, and notes the longest.</summary>
internal sealed class Window : SynchronizationContext, IDisposable
{
    private readonly BlockingCollection<(SendOrPostCallback Run, object? State)> messages = [];
    private readonly Thread thread;

    internal Window()
    {
        thread = new Thread(Loop) { IsBackground = true };
        thread.Start();
    }

    /// <summary>The longest that one message has kept all others waiting.</summary>
    internal TimeSpan Longest { get; private set; }

    public void Dispose()
    {
        messages.CompleteAdding();
        thread.Join();
    }

    public override void Post(SendOrPostCallback d, object? state) => messages.Add((d, state));

    /// <summary>Begins something on the thread, and ends when it has ended.</summary>
    internal async Task RunAsync(Func<Task> action)
    {
        TaskCompletionSource<Task> begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(_ => begun.SetResult(action()), null);
        await (await begun.Task);
    }

    private void Loop()
    {
        SetSynchronizationContext(this);
        foreach ((SendOrPostCallback run, object? state) in messages.GetConsumingEnumerable())
        {
            long started = Stopwatch.GetTimestamp();
            run(state);
            TimeSpan taken = Stopwatch.GetElapsedTime(started);
            Longest = taken > Longest ? taken : Longest;
        }
    }
}
