// Brings updates to the thread that asked for them, for instance the one of the user interface.
using System.Runtime.ExceptionServices;

namespace LlamaIpc;

/// <summary>
/// Raises updates in a synchronization context, one at a time, in order, and at most one for each frame. It never waits
/// for that context: updates that come while one is on its way, or before the next frame, are merged into the next, so a
/// busy interface sees fewer, larger updates. The first and the last come at once.
/// </summary>
internal sealed class UpdatePump(SynchronizationContext context, Action<StreamUpdateEventArgs> raise)
{
    private readonly object gate = new();
    private Timer? clock;
    private FramePace pace;
    private State state;
    private StreamUpdateEventArgs? next;
    private ExceptionDispatchInfo? failure;
    private TaskCompletionSource? idle;

    /// <summary>Nothing is left to be raised. After a failure nothing is: the next Offer throws.</summary>
    private bool IsDrained => next is null || failure != null;

    private enum State
    {
        /// <summary>Nothing is on its way: the next update goes at once.</summary>
        Idle,

        /// <summary>The context will raise what there is, or does so now.</summary>
        Posted,

        /// <summary>The context is left alone until the next frame.</summary>
        Resting,
    }

    /// <summary>Hands over an update. Throws what the handler threw at an earlier one. Called by one thread.</summary>
    internal void Offer(StreamUpdateEventArgs update)
    {
        lock (gate)
        {
            failure?.Throw();
            next = next is null ? update : update.Absorb(next);
            if (state == State.Posted || (state == State.Resting && !update.IsComplete))
            {
                return;
            }
            state = State.Posted;
        }
        Post();
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
            if (state != State.Posted && IsDrained)
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

    private void Post() => context.Post(static pump => ((UpdatePump)pump!).Deliver(), this);

    private void Deliver()
    {
        StreamUpdateEventArgs update;
        lock (gate)
        {
            update = next!;
            next = null;
            pace.Deliver();
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
            if (failure != null || next is not { IsComplete: true })
            {
                Rest();
                return;
            }
        }
        Post();
    }

    private void Rest()
    {
        if (IsDrained)
        {
            idle?.TrySetResult();
        }
        state = State.Resting;
        clock ??= new Timer(static pump => ((UpdatePump)pump!).BeginFrame(), this, Timeout.Infinite, Timeout.Infinite);
        clock.Change(pace.RestMs(), Timeout.Infinite);
    }

    /// <summary>By the clock. One that is late, of a rest that the last update has ended, may end the next one early.</summary>
    private void BeginFrame()
    {
        lock (gate)
        {
            if (state != State.Resting)
            {
                return;
            }
            state = IsDrained ? State.Idle : State.Posted;
            if (state == State.Idle)
            {
                return;
            }
        }
        Post();
    }
}
