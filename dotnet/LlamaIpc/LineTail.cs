// Reads what a process prints and keeps the end of it.
using System.Text;

namespace LlamaIpc;

/// <summary>
/// Drains a stream of text on a thread of its own, so that the writer never finds its pipe full, and keeps the last
/// lines. Memory is bounded: so many lines, each cut after so many characters.
/// </summary>
internal sealed class LineTail
{
    internal const int MaxLines = 50;
    internal const int MaxLineLength = 2000;

    private readonly TextReader reader;
    private readonly Queue<string> lines = new();
    private readonly StringBuilder line = new();
    private readonly Thread thread;

    internal LineTail(TextReader reader, string threadName)
    {
        this.reader = reader;
        thread = new Thread(Drain, maxStackSize: 256 * 1024) { IsBackground = true, Name = threadName };
        thread.Start();
    }

    /// <summary>The last lines so far; the unfinished one counts once the stream has ended.</summary>
    internal IReadOnlyList<string> Lines
    {
        get
        {
            lock (lines)
            {
                return [.. lines];
            }
        }
    }

    /// <summary>Waits until the stream has ended and all of it has been read.</summary>
    internal bool WaitForEnd(int timeoutMs) => thread.Join(timeoutMs);

    private void Drain()
    {
        char[] chunk = new char[1024];
        try
        {
            for (int n; (n = reader.Read(chunk, 0, chunk.Length)) > 0;)
            {
                foreach (char c in chunk.AsSpan(0, n))
                {
                    Take(c);
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // The pipe is gone: an end like any other.
        }
        if (line.Length > 0)
        {
            EndLine();
        }
        reader.Dispose();
    }

    private void Take(char c)
    {
        if (c == '\n')
        {
            EndLine();
        }
        else if (c != '\r' && line.Length < MaxLineLength)
        {
            line.Append(c);
        }
    }

    private void EndLine()
    {
        lock (lines)
        {
            if (lines.Count == MaxLines)
            {
                lines.Dequeue();
            }
            lines.Enqueue(line.ToString());
        }
        line.Clear();
    }
}
