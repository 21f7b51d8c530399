// Reading on a thread of one's own, which blocks.
using System.Text;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class BlockingReadTests
{
    private const string Question = "What is C++?";

    [HostFact]
    public async Task The_pieces_joined_are_the_answer_and_no_other_thread_waits()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(300), rate: 1000);
        await EventuallyAsync(() => WaiterThreads() == 0, "no client of an earlier test waits");
        using LlamaStream stream = replay.Client.OpenStream(Question);
        StringBuilder joined = new();
        await Blocking(() =>
        {
            int thread = Environment.CurrentManagedThreadId;
            foreach (string piece in stream.ReadAll())
            {
                joined.Append(piece);
                Assert.Equal(joined.ToString(), stream.Text);
                Assert.Equal(thread, Environment.CurrentManagedThreadId);
                Assert.Equal(0, WaiterThreads());
                Assert.Throws<InvalidOperationException>(() => stream.TryRead(out _));
            }
        });
        Assert.Equal(replay.Text, joined.ToString());
        Assert.Equal(LlamaEnd.Turn, stream.Result!.End);
        Assert.Equal(0, replay.Client.Streams.Interruptions);
    }

    [HostFact]
    public async Task It_goes_on_where_the_worker_is_killed_and_beside_asynchronous_loops()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(200), rate: 200);
        Task<string> asynchronous = replay.Client.AskAsync(Question);
        using LlamaStream stream = replay.Client.OpenStream(Question);
        await Blocking(() =>
        {
            bool isKilled = false;
            foreach (string _ in stream.ReadAll())
            {
                if (!isKilled)
                {
                    isKilled = true;
                    Signal(WorkerOf(replay.Client.Status.ProcessId), SigKill);
                }
            }
        });
        Assert.Equal(replay.Text, stream.Text);
        Assert.Equal(replay.Text, await asynchronous);
    }

    public static TheoryData<string> Ends => ["token", "cancel", "dispose", "detach", "client", "break"];

    /// <summary>The host is paused, so that the loop blocks and nothing but the end can wake it.</summary>
    [HostTheory]
    [MemberData(nameof(Ends))]
    public async Task Whoever_ends_it_from_outside_ends_a_loop_that_blocks(string way)
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(10_000), rate: 100);
        LlamaClient client = await replay.AnotherClientAsync();
        int host = client.Status.ProcessId;
        using CancellationTokenSource cancel = new();
        using LlamaStream stream = client.OpenStream(new LlamaRequest(Question) { Detachable = way == "detach" });
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task loop = Blocking(() =>
        {
            foreach (string _ in stream.ReadAll(cancel.Token))
            {
                begun.TrySetResult();
                if (way == "break")
                {
                    return;
                }
            }
        });
        await begun.Task;
        bool hangs = way is not ("cancel" or "break"); // The host acknowledges a cancelled stream.
        if (hangs)
        {
            Pause(host);
        }
        try
        {
            Action end = way switch
            {
                "token" => cancel.Cancel,
                "cancel" => stream.Cancel,
                "dispose" => stream.Dispose,
                "detach" => () => stream.Detach(),
                "client" => client.Dispose,
                _ => () => { },
            };
            end();
            Exception? thrown = await Record.ExceptionAsync(() => loop);
            if (way == "break")
            {
                Assert.Null(thrown);
            }
            else
            {
                RequestCanceledException e = Assert.IsType<RequestCanceledException>(thrown);
                Assert.NotEqual("", e.PartialResponse);
                Assert.StartsWith(e.PartialResponse, replay.Text, StringComparison.Ordinal);
                Assert.Equal(cancel.IsCancellationRequested ? cancel.Token : CancellationToken.None, e.CancellationToken);
            }
        }
        finally
        {
            if (hangs)
            {
                Resume(host);
            }
            client.Dispose();
        }
    }

    [HostFact]
    public async Task What_is_detached_goes_on_also_while_the_loop_ends()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(300), rate: 2000);
        for (int i = 0; i < 50; i++)
        {
            using LlamaStream stream = replay.Client.OpenStream(new LlamaRequest(Question) { Detachable = true });
            TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
            Task loop = Blocking(() =>
            {
                foreach (string _ in stream.ReadAll())
                {
                    begun.TrySetResult();
                }
            });
            await begun.Task;
            string id = stream.Detach();
            await Record.ExceptionAsync(() => loop); // none if it was complete
            using LlamaStream again = replay.Client.Attach(id);
            await Blocking(() => again.ReadAll().Count());
            Assert.Equal(replay.Text, again.Text);
            Assert.Equal(LlamaEnd.Turn, again.Result!.End);
        }
    }

    [HostFact]
    public async Task One_loop_at_a_time_of_either_kind()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(10_000), rate: 100);
        using LlamaStream stream = replay.Client.OpenStream(Question);
        await foreach (string _ in stream)
        {
            Assert.Throws<InvalidOperationException>(() => stream.ReadAll().First());
            break;
        }
    }

    [HostFact]
    public async Task A_killed_host_and_a_refused_request_are_exceptions()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(10_000), rate: 100);
        using LlamaStream refused = replay.Client.OpenStream(new LlamaRequest(Question) { Grammar = "root ::= (" });
        await Assert.ThrowsAsync<RequestRefusedException>(() => Blocking(() => refused.ReadAll().ToList()));
        using LlamaStream stream = replay.Client.OpenStream(Question);
        await Assert.ThrowsAsync<HostGoneException>(() => Blocking(() =>
        {
            bool isKilled = false;
            foreach (string _ in stream.ReadAll())
            {
                if (!isKilled)
                {
                    isKilled = true;
                    Signal(replay.Client.Status.ProcessId, SigKill);
                }
            }
        }));
    }
}
