// How often the thread of a window is given something to draw.
using System.Diagnostics;

namespace LlamaIpc;

/// <summary>
/// Leaves the thread of a window time for everything else that it has to do. A delivery comes at the earliest one frame
/// after the one before, and where drawing takes longer than that, one more frame after it was done.
/// </summary>
internal struct FramePace
{
    /// <summary>A frame of a usual screen, 60 a second.</summary>
    internal const int FrameMs = 16;

    private long deliveredAt;

    /// <summary>Whether the caller runs on a thread that has other things to do than this: that of a window.</summary>
    internal static bool IsInWindow =>
        SynchronizationContext.Current is SynchronizationContext context
        && context.GetType() != typeof(SynchronizationContext);

    /// <summary>Something is handed over now.</summary>
    internal void Deliver() => deliveredAt = Stopwatch.GetTimestamp();

    /// <summary>It has been drawn: how many milliseconds the thread is to be left alone.</summary>
    internal readonly int RestMs()
    {
        double drawing = Stopwatch.GetElapsedTime(deliveredAt).TotalMilliseconds;
        return (int)Math.Ceiling(Math.Max(FrameMs - drawing, Math.Min(drawing, FrameMs)));
    }
}
