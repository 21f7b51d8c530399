// What reading costs: objects for each piece, memory for each stream, threads and interruptions for several at a time.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public partial class CostTests
{
    private const string Question = "What is C++?";

    [HostFact]
    public async Task A_piece_allocates_nothing_beyond_its_string()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(3000), rate: 1500);
        await ReadCountingAsync(replay.Client); // once, so that what is made only once is made
        long beyond = 0, pieces = 0, rounds = 0;
        while (pieces <= 500) // on a busy machine several tokens make a piece
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            (int read, long strings) = await ReadCountingAsync(replay.Client);
            long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;

            // The text is kept in one buffer that doubles: at most four times its length, of two bytes each.
            beyond += allocated - strings - (8 * replay.Text.Length);
            pieces += read;
            rounds++;
        }
        Assert.True(beyond < (8 * pieces) + (16_384 * rounds), $"{beyond} bytes beyond the strings of {pieces} pieces");
    }

    [HostFact]
    public async Task Streams_one_after_another_leave_both_heaps_flat()
    {
        const int Streams = 1000, Rounds = 3;
        await using Replay replay = await Replay.StartAsync("one two three ", rate: 0);
        await AskAsync(replay, Streams / 4);
        long managedGrowth = long.MaxValue, nativeGrowth = long.MaxValue;
        for (int i = 0; i < Rounds; i++)
        {
            (long managed, long native) = (GC.GetTotalMemory(forceFullCollection: true), NativeBytes());
            await AskAsync(replay, Streams);
            managedGrowth = Math.Min(managedGrowth, GC.GetTotalMemory(forceFullCollection: true) - managed);
            nativeGrowth = Math.Min(nativeGrowth, NativeBytes() - native);
        }
        // What leaks grows in each round, by more than that; others in this process make something now and then.
        Assert.True(managedGrowth < 16 * Streams, $"the managed heap grows by {managedGrowth} bytes");
        Assert.True(nativeGrowth < 16 * Streams, $"the native heap grows by {nativeGrowth} bytes");
    }

    [HostFact]
    public async Task Streams_that_are_read_at_a_time_interrupt_nobody_and_share_one_thread()
    {
        const int Streams = 32;
        await using Replay replay = await Replay.StartAsync(
            Replay.Words(300), rate: 100, arguments: ["--streams", $"{Streams}", "-np", $"{Streams}"]);
        Task<string>[] answers = [.. Enumerable.Range(0, Streams).Select(_ => replay.Client.AskAsync(Question))];
        await EventuallyAsync(() => replay.Client.Status.Running > 1, "several answers are being made");
        await EventuallyAsync(() => WaiterThreads() == 1, "one thread waits for all");
        Assert.All(await Task.WhenAll(answers), answer => Assert.Equal(replay.Text, answer));
        Assert.Equal(0, replay.Client.Streams.Interruptions);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<(int Pieces, long Bytes)> ReadCountingAsync(LlamaClient client)
    {
        int pieces = 0;
        long bytes = 0;
        await foreach (string piece in client.StreamAsync(Question))
        {
            pieces++;
            bytes += (22 + (2 * piece.Length) + 7) & ~7L; // a header, the length, the characters and their end, whole words
        }
        return (pieces, bytes);
    }

    private static async Task AskAsync(Replay replay, int times)
    {
        for (int i = 0; i < times; i++)
        {
            Assert.Equal(replay.Text, await replay.Client.AskAsync(Question));
        }
    }

    /// <summary>What is allocated on the C heap of this process.</summary>
    private static long NativeBytes()
    {
        MallInfo2 info = MallInfo();
        return (long)(info.UsedSmall + info.UsedMapped);
    }

    [LibraryImport("libc", EntryPoint = "mallinfo2")]
    private static partial MallInfo2 MallInfo();

    /// <summary>glibc's <c>struct mallinfo2</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct MallInfo2
    {
        internal nuint Arena, FreeChunks, FastBins, MappedRegions;
        internal nuint UsedMapped;
        internal nuint Unused, FastFree;
        internal nuint UsedSmall;
        internal nuint Free, Trimmable;
    }
}
