// Time-outs that span several waits.
using System.Diagnostics;

namespace LlamaIpc;

/// <summary>The end of a time-out, on a clock that does not jump.</summary>
internal readonly struct Deadline
{
    private readonly long start;
    private readonly TimeSpan timeout;

    private Deadline(TimeSpan timeout)
    {
        start = Stopwatch.GetTimestamp();
        this.timeout = timeout;
    }

    /// <summary>Starts a time-out now; <see cref="Timeout.InfiniteTimeSpan"/> never ends.</summary>
    internal static Deadline In(TimeSpan timeout) => new(timeout);

    /// <summary>What is left: milliseconds for a wait, rounded up; 0 if the time is over, -1 without limit.</summary>
    internal int RemainingMs
    {
        get
        {
            if (timeout == Timeout.InfiniteTimeSpan)
            {
                return -1;
            }
            double left = Math.Ceiling((timeout - Stopwatch.GetElapsedTime(start)).TotalMilliseconds);
            return (int)Math.Clamp(left, 0, int.MaxValue);
        }
    }

    internal static void CheckTimeout(TimeSpan timeout, string name)
    {
        if (timeout < TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentOutOfRangeException(
                name, timeout, "A time-out is not negative; Timeout.InfiniteTimeSpan waits without limit.");
        }
    }
}
