// A stream that alone is awaited: its reader continues on the thread that has waited for it, and may do there what it likes.
using System.Runtime.CompilerServices;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class SoleReaderTests
{
    private const string Question = "What is C++?";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(1);

    /// <summary>So long that its reader has to wait at some time, however slow this machine is.</summary>
    private static Task<Replay> StartAsync() => Replay.StartAsync(
        Replay.Words(20_000), rate: 50, arguments: ["-np", "4", "--streams", "4"]);

    [HostFact]
    public async Task It_continues_on_the_thread_that_has_waited()
    {
        await using Replay replay = await StartAsync();
        await InThePool(() => ReadUntilOnWaiterAsync(replay.Client, () => { }));
    }

    [HostFact]
    public async Task It_may_block_there_until_other_streams_are_read()
    {
        await using Replay replay = await StartAsync();
        LlamaRequest few = new(Question) { MaxTokens = 5 };
        string expected = await replay.Client.AskAsync(few);
        string[] read = [];
        await InThePool(() => ReadUntilOnWaiterAsync(replay.Client, () =>
        {
            // The thread that is blocked is the one that would have waited for both.
            string one = replay.Client.AskAsync(few).WaitAsync(Limit).GetAwaiter().GetResult();
            string other = Task.Run(() => replay.Client.AskAsync(few)).WaitAsync(Limit).GetAwaiter().GetResult();
            read = [one, other];
        }));
        Assert.Equal([expected, expected], read);
        await EventuallyAsync(() => WaiterThreads() == 1, "threads that are not needed any more have ended");
    }

    [HostFact]
    public async Task It_may_dispose_of_its_client_there()
    {
        await using Replay replay = await StartAsync();
        LlamaClient client = await replay.AnotherClientAsync();
        await EventuallyAsync(() => replay.Client.Status.Clients == 2, "the host has seen it come");
        await InThePool(() => Assert.ThrowsAsync<RequestCanceledException>(() => ReadUntilOnWaiterAsync(client, () =>
        {
            client.Dispose();
            // Closed at once, although this thread has not come back from here.
            EventuallyAsync(() => replay.Client.Status.Clients == 1, "the host has seen it leave").GetAwaiter().GetResult();
        })));
    }

    [HostFact]
    public async Task What_a_caller_has_set_for_its_calls_is_not_kept_by_the_thread()
    {
        await using Replay replay = await StartAsync();
        AsyncLocal<object?> local = new();
        WeakReference value = await Task.Run(() => AskWithAsync(replay.Client, local));
        await EventuallyAsync(
            () =>
            {
                GC.Collect();
                return !value.IsAlive;
            },
            "the value is forgotten");
        Assert.NotEqual(0, WaiterThreads());
    }

    [HostFact]
    public async Task What_one_loop_sets_is_not_there_for_the_next_one()
    {
        await using Replay replay = await StartAsync();
        AsyncLocal<string?> local = new();
        HashSet<string> seen = [];
        await InThePool(() => ReadWithoutContextAsync(() =>
        {
            local.Value = "the first loop's";
            Thread.CurrentThread.Priority = ThreadPriority.AboveNormal;
            Thread.CurrentThread.IsBackground = false;
        }));
        for (int i = 0; i < 10; i++) // two threads take turns: also on the one that the first loop was on
        {
            await InThePool(() => ReadWithoutContextAsync(() =>
                seen.Add($"{local.Value}, {Thread.CurrentThread.Priority}, {Thread.CurrentThread.IsBackground}")));
        }
        Assert.Equal([$", {ThreadPriority.Normal}, {true}"], seen);

        // Where no context is captured, the thread's own is seen.
        Task ReadWithoutContextAsync(Action act)
        {
            using (ExecutionContext.SuppressFlow())
            {
                return ReadUntilOnWaiterAsync(replay.Client, act);
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<WeakReference> AskWithAsync(LlamaClient client, AsyncLocal<object?> local)
    {
        object value = new();
        local.Value = value;
        await client.AskAsync(new LlamaRequest(Question) { MaxTokens = 5 });
        return new WeakReference(value);
    }

    /// <summary>
    /// Without the test framework's synchronization context, as in a console program. What follows is in the pool, so that the thread
    /// is free when the next test begins.
    /// </summary>
    private static Task InThePool(Func<Task> read) => Task.Run(async () =>
    {
        await read();
        await Task.Yield();
    });

    /// <summary>Reads until it has had to wait, and does there what is asked for.</summary>
    private static async Task ReadUntilOnWaiterAsync(LlamaClient client, Action act)
    {
        bool isThere = false;
        await foreach (string _ in client.StreamAsync(Question))
        {
            if (isThere)
            {
                return;
            }
            isThere = Thread.CurrentThread.Name == "LlamaIpc waiter";
            if (isThere)
            {
                act();
            }
        }
        Assert.Fail("the stream ended before its reader had to wait");
    }
}
