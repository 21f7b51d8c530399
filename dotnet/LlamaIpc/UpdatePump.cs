// Brings updates to the thread that asked for them, for instance the one of the user interface.
using System.Runtime.ExceptionServices;

namespace LlamaIpc;

/// <summary>
/// Raises updates in a synchronization context, one at a time and in order. It never waits for that context: updates
/// that come while one is still on its way are merged into the next, so a busy interface sees fewer, larger updates and
/// always the last.
/// </summary>
internal sealed class UpdatePump(SynchronizationContext context, Action<StreamUpdateEventArgs> raise)
{
    private readonly object gate = new();
    private StreamUpdateEventArgs? next;
    private bool posted;
    private ExceptionDispatchInfo? failure;
    private TaskCompletionSource? idle;

    /// <summary>Hands over an update. Throws what the handler threw at an earlier one. Called by one thread.</summary>
    internal void Offer(StreamUpdateEventArgs update)
    {
        lock (gate)
        {
            failure?.Throw();
            next = next is null ? update : update.Absorb(next);
            if (posted)
            {
                return;
            }
            posted = true;
        }
        context.Post(static pump => ((UpdatePump)pump!).Deliver(), this);
    }

    /// <summary>
    /// Waits until the last update has been raised, but not for ever: a context that has ended, such as that of a
    /// closed window, runs nothing any more. Throws what the handler threw.
    /// </summary>
    internal async Task DrainAsync(TimeSpan limit, CancellationToken cancellationToken)
    {
        Task delivered;
        lock (gate)
        {
            idle = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (!posted)
            {
                idle.SetResult();
            }
            delivered = idle.Task;
        }
        try
        {
            await delivered.WaitAsync(limit, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            return;
        }
        lock (gate)
        {
            failure?.Throw();
        }
    }

    private void Deliver()
    {
        StreamUpdateEventArgs update;
        lock (gate)
        {
            update = next!;
            next = null;
        }

        ExceptionDispatchInfo? thrown = null;
        try
        {
            raise(update);
        }
        catch (Exception e)
        {
            thrown = ExceptionDispatchInfo.Capture(e);
        }

        lock (gate)
        {
            failure = thrown;
            if (next is null || failure != null)
            {
                // After a failure nothing more is raised: the next Offer throws.
                posted = false;
                idle?.TrySetResult();
                return;
            }
        }
        context.Post(static pump => ((UpdatePump)pump!).Deliver(), this);
    }
}
