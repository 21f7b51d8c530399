// One turn of one subject: an answer to be timed, one to be cancelled, one in a window whose drawing is slower than the model, and one
// whose model is killed.
using System.Diagnostics;
using System.Text.Json;

namespace LlamaIpc.Bench;

internal static class Turn
{
    private const int Tokens = 64;
    private const int DrawingMs = 40;

    /// <summary>Different each time, so that no cache of prompts helps.</summary>
    private static string Question(string kind) =>
        $"{kind} {Environment.ProcessId}: " + string.Concat(Enumerable.Range(0, 12).Select(i => $"what is the number {i * 7919 % 1000}? "));

    internal static async Task<int> RunAsync(string name, string model)
    {
        Subject subject = name switch
        {
            "lipc" => new LipcSubject(),
            "openai" => new OpenAiSubject(),
            _ => new LlamaSharpSubject(),
        };
        await subject.StartAsync(model);
        await foreach (string _ in subject.AskAsync("Hello", 4, CancellationToken.None))
        {
            // So that what is compiled and made only once is there.
        }
        Dictionary<string, object> row = new() { ["subject"] = name };
        await AnswerAsync(subject, row);
        await CancelAsync(subject, row);
        await WindowAsync(subject, row);
        await CrashAsync(subject, row);
        Console.WriteLine(JsonSerializer.Serialize(row));
        if (!subject.IsInProcess)
        {
            await subject.DisposeAsync();
        }
        return 0;
    }

    private static async Task AnswerAsync(Subject subject, Dictionary<string, object> row)
    {
        GC.Collect();
        Process self = Process.GetCurrentProcess();
        string question = Question("answer");
        long bytes = GC.GetTotalAllocatedBytes(precise: true);
        TimeSpan cpu = self.TotalProcessorTime;
        long started = Stopwatch.GetTimestamp(), first = 0, last = 0;
        int pieces = 0;
        await foreach (string piece in subject.AskAsync(question, Tokens, CancellationToken.None))
        {
            if (piece.Length == 0)
            {
                continue;
            }
            last = Stopwatch.GetTimestamp();
            first = first == 0 ? last : first;
            pieces++;
        }
        self.Refresh();
        row["first_ms"] = Stopwatch.GetElapsedTime(started, first).TotalMilliseconds;
        row["tokens_per_second"] = (Tokens - 1) / Stopwatch.GetElapsedTime(first, last).TotalSeconds;
        row["pieces"] = pieces;
        row["cpu_us"] = (self.TotalProcessorTime - cpu).TotalMicroseconds / Tokens;
        row["allocated"] = (GC.GetTotalAllocatedBytes(precise: true) - bytes) / (double)Tokens;
        row["memory_mb"] = self.WorkingSet64 / 1e6;
    }

    /// <summary>From the cancellation until the engine does nothing any more, with a long prompt just sent.</summary>
    private static async Task CancelAsync(Subject subject, Dictionary<string, object> row)
    {
        using CancellationTokenSource cancel = new();
        string question = string.Concat(Enumerable.Repeat(Question("cancel"), 12));
        long cancelled = 0;
        Task reading = Task.Run(async () =>
        {
            await foreach (string _ in subject.AskAsync(question, Tokens, cancel.Token))
            {
            }
        });
        await Task.Delay(300);
        cancelled = Stopwatch.GetTimestamp();
        cancel.Cancel();
        try
        {
            await reading;
        }
        catch (OperationCanceledException)
        {
        }
        row["caller_ms"] = Stopwatch.GetElapsedTime(cancelled).TotalMilliseconds;
        while (await subject.IsBusyAsync())
        {
            await Task.Delay(1);
        }
        row["cancel_ms"] = Stopwatch.GetElapsedTime(cancelled).TotalMilliseconds;
    }

    private static async Task WindowAsync(Subject subject, Dictionary<string, object> row)
    {
        using Window window = new();
        await window.RunAsync(async () =>
        {
            await foreach (string piece in subject.AskAsync(Question("window"), Tokens, CancellationToken.None))
            {
                if (piece.Length > 0)
                {
                    Thread.Sleep(DrawingMs);
                }
            }
        });
        row["window_ms"] = window.Longest.TotalMilliseconds;
    }

    private static async Task CrashAsync(Subject subject, Dictionary<string, object> row)
    {
        if (subject.IsInProcess)
        {
            row["crash"] = "the application dies, too";
            return;
        }
        int pieces = 0;
        long killed = 0, after = 0;
        try
        {
            await foreach (string piece in subject.AskAsync(Question("crash"), Tokens, CancellationToken.None))
            {
                after = killed != 0 && after == 0 ? Stopwatch.GetTimestamp() : after;
                if (piece.Length > 0 && ++pieces == 20)
                {
                    subject.KillModel();
                    killed = Stopwatch.GetTimestamp();
                }
            }
            row["crash"] = $"the answer goes on after {Stopwatch.GetElapsedTime(killed, after).TotalSeconds:F1} s";
        }
        catch (Exception e) when (e is HttpRequestException or IOException or System.ClientModel.ClientResultException or LlamaIpcException)
        {
            row["crash"] = $"{e.GetType().Name}; the rest is lost";
        }
    }
}
