// Between the thread that reads an answer and the one on which a handler sees it grow.
using System.Diagnostics;

namespace LlamaIpc;

/// <summary>
/// Hands updates from the thread that reads to the one that raises. The reader never waits for the other side: whatever it
/// offers while a handler runs is merged into the next update. So a handler that takes its time, such as one that waits for a
/// busy window to draw, does not keep its answer from being read, and the host from the next client.
/// </summary>
internal sealed class UpdateRelay
{
    private readonly object gate = new();
    private StreamUpdateEventArgs? next;
    private bool isOver;

    /// <summary>By the reader: something new.</summary>
    internal void Offer(StreamUpdateEventArgs update)
    {
        lock (gate)
        {
            next = next is null ? update : update.Absorb(next);
            Monitor.Pulse(gate);
        }
    }

    /// <summary>By the reader: there will be no more.</summary>
    internal void End()
    {
        lock (gate)
        {
            isOver = true;
            Monitor.Pulse(gate);
        }
    }

    /// <summary>
    /// Raises updates on this thread until there will be no more. A handler that took longer than a frame is given one of rest
    /// before the next update, so that the thread of a window that it draws in comes to its keys and clicks; the last update
    /// waits for nothing.
    /// </summary>
    internal void RaiseAll(Action<StreamUpdateEventArgs> raise)
    {
        TimeSpan rest = TimeSpan.Zero;
        while (Take(rest) is StreamUpdateEventArgs update)
        {
            long began = Stopwatch.GetTimestamp();
            raise(update);
            rest = Stopwatch.GetElapsedTime(began).TotalMilliseconds > FramePace.FrameMs
                ? TimeSpan.FromMilliseconds(FramePace.FrameMs)
                : TimeSpan.Zero;
        }
    }

    /// <summary>The next update; null: there will be no more.</summary>
    private StreamUpdateEventArgs? Take(TimeSpan rest)
    {
        lock (gate)
        {
            long began = Stopwatch.GetTimestamp();
            TimeSpan left = rest;
            while (!isOver && next is not { IsComplete: true } && left > TimeSpan.Zero)
            {
                Monitor.Wait(gate, left);
                left = rest - Stopwatch.GetElapsedTime(began);
            }
            while (!isOver && next is null)
            {
                Monitor.Wait(gate);
            }
            StreamUpdateEventArgs? update = next;
            next = null;
            return update;
        }
    }
}
