// From a token's publication to its reader: in C# with `await foreach` and with `foreach` on a thread of its own, and in liblipc's own
// blocking read from the same program. A stream's clock begins when it is opened, so all ways open it alike. Beside them what a bare
// TaskCompletionSource takes from the thread that sets it to one of the pool.
using System.Diagnostics;
using LlamaIpc.Native;

namespace LlamaIpc.Bench;

internal static class WakeRow
{
    private const int Streams = 20;
    private const int Words = 400;

    internal static async Task<int> RunAsync()
    {
        using ReplayFile file = new(string.Concat(Enumerable.Range(1000, Words).Select(i => $"w{i} ")), rate: 1000);
        await using LlamaClient client = await LlamaClient.ConnectAsync(file.Options);
        using LipcClientHandle native = LipcClientHandle.Open(file.Options with { Start = HostStart.Never });
        List<double> awaiting = [], blocking = [], library = [], bare = [];
        for (int i = -1; i < Streams; i++)
        {
            double[] medians =
            [
                await MeasureAsync(() => client.OpenStream("Hello"), (stream, opened) => ReadAsync(stream, opened).GetAwaiter().GetResult()),
                await MeasureAsync(() => client.OpenStream("Hello"), ReadBlocking),
                await MeasureAsync(() => new LlamaRequest("Hello").Open(native), Read),
                Median(await HandOverAsync()),
            ];
            if (i >= 0) // before that, what is compiled only once is
            {
                awaiting.Add(medians[0]);
                blocking.Add(medians[1]);
                library.Add(medians[2]);
                bare.Add(medians[3]);
            }
        }
        Console.WriteLine($"median from publication to reader ({Streams} streams of {Words} tokens each, taking turns)");
        Console.WriteLine($"liblipc's blocking read    {Median(library):F1} us");
        Console.WriteLine($"foreach over ReadAll       {Median(blocking):F1} us, added {Added(blocking):F1} us");
        Console.WriteLine($"await foreach              {Median(awaiting):F1} us, added {Added(awaiting):F1} us");
        Console.WriteLine($"a bare TaskCompletionSource, from its thread to one of the pool: {Median(bare):F1} us");
        return 0;

        double Added(List<double> way) => Median([.. way.Zip(library, (a, b) => a - b)]);
    }

    /// <summary>On a thread of its own, right after it has opened another stream, which is warmer than the first.</summary>
    private static Task<double> MeasureAsync<T>(Func<T> open, Func<T, long, List<double>> read)
        where T : IDisposable => Task.Factory.StartNew(
        () =>
        {
            open().Dispose();
            Thread.Sleep(5);
            long opened = Stopwatch.GetTimestamp();
            using T stream = open();
            return Median(read(stream, opened));
        },
        TaskCreationOptions.LongRunning);

    private static async Task<List<double>> HandOverAsync()
    {
        TaskCompletionSource<long>[] sources = [.. Enumerable.Range(0, Words).Select(
            _ => new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously))];
        new Thread(() =>
        {
            foreach (TaskCompletionSource<long> source in sources)
            {
                Thread.Sleep(1); // as often as there is a token
                source.SetResult(Stopwatch.GetTimestamp());
            }
        }).Start();
        List<double> delays = [];
        foreach (TaskCompletionSource<long> source in sources)
        {
            delays.Add(Stopwatch.GetElapsedTime(await source.Task).TotalMicroseconds);
        }
        return delays;
    }

    private static List<double> ReadBlocking(LlamaStream stream, long opened)
    {
        List<long> seen = [];
        List<int> tokens = [];
        foreach (string _ in stream.ReadAll())
        {
            seen.Add(Stopwatch.GetTimestamp());
            tokens.Add(stream.Progress.Tokens);
        }
        return DelaysOf(stream, opened, seen, tokens);
    }

    private static async Task<List<double>> ReadAsync(LlamaStream stream, long opened)
    {
        List<long> seen = [];
        List<int> tokens = [];
        await foreach (string piece in stream)
        {
            seen.Add(Stopwatch.GetTimestamp());
            tokens.Add(stream.Progress.Tokens);
        }
        return DelaysOf(stream, opened, seen, tokens);
    }

    private static List<double> DelaysOf(LlamaStream stream, long opened, List<long> seen, List<int> tokens)
    {
        IReadOnlyList<LlamaToken> all = stream.GetTokens();
        TimeSpan turn = stream.Progress.QueueTime;
        return [.. seen.Select((time, i) => (Stopwatch.GetElapsedTime(opened, time) - turn - all[tokens[i] - 1].Time).TotalMicroseconds)];
    }

    private static unsafe List<double> Read(LipcStreamHandle stream, long opened)
    {
        List<long> seen = [];
        List<int> tokens = [];
        LipcDelta delta;
        LipcProgress progress;
        while (NativeMethods.StreamRead(stream, Timeout.Infinite, &delta) == 0 && delta.NBytes > 0)
        {
            seen.Add(Stopwatch.GetTimestamp());
            NativeMethods.StreamProgress(stream, &progress, (nuint)sizeof(LipcProgress));
            tokens.Add(progress.NTokens);
        }
        NativeMethods.StreamProgress(stream, &progress, (nuint)sizeof(LipcProgress));
        List<double> delays = [];
        for (int i = 0; i < seen.Count; i++)
        {
            LipcToken token;
            nuint copied;
            NativeMethods.StreamTokens(stream, (nuint)(tokens[i] - 1), &token, (nuint)sizeof(LipcToken), 1, &copied);
            delays.Add(Stopwatch.GetElapsedTime(opened, seen[i]).TotalMicroseconds - (progress.QueuedNs / 1e3) - (token.TimeNs / 1e3));
        }
        return delays;
    }

    private static double Median(List<double> values)
    {
        values.Sort();
        return values[values.Count / 2];
    }
}
