// From a token's publication to its reader: in C# with `await foreach`, and in liblipc's own blocking read from the same
// program. A stream's clock begins when it is opened; both ways open it alike.
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
        List<double> own = [], library = [];
        await ReadAsync(client); // so that what is compiled only once is
        for (int i = 0; i < Streams; i++)
        {
            own.Add(Median(await ReadAsync(client)));
            library.Add(Median(await Task.Factory.StartNew(() => Read(native), TaskCreationOptions.LongRunning)));
        }
        Console.WriteLine(
            $"median from publication to reader: C# {Median(own):F1} us, liblipc {Median(library):F1} us, added {Median([.. own.Zip(library, (a, b) => a - b)]):F1} us "
            + $"({Streams} streams of {Words} tokens each, taking turns)");
        return 0;
    }

    private static async Task<List<double>> ReadAsync(LlamaClient client)
    {
        long opened = Stopwatch.GetTimestamp();
        using LlamaStream stream = client.OpenStream("Hello");
        List<long> seen = [];
        List<int> tokens = [];
        await foreach (string piece in stream)
        {
            seen.Add(Stopwatch.GetTimestamp());
            tokens.Add(stream.Progress.Tokens);
        }
        IReadOnlyList<LlamaToken> all = stream.GetTokens();
        TimeSpan turn = stream.Progress.QueueTime;
        return [.. seen.Select((time, i) => (Stopwatch.GetElapsedTime(opened, time) - turn - all[tokens[i] - 1].Time).TotalMicroseconds)];
    }

    private static unsafe List<double> Read(LipcClientHandle client)
    {
        long opened = Stopwatch.GetTimestamp();
        using LipcStreamHandle stream = new LlamaRequest("Hello").Open(client);
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
