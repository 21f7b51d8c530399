// Cancelling, leaving, disposing and forgetting streams: the caller is told, the host stops, others go on.
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class StreamCancellationTests
{
    private const string Question = "What is C++?";

    [HostFact]
    public async Task A_token_ends_the_loop_and_the_work()
    {
        await using Replay replay = await EndlessAsync();
        using CancellationTokenSource cancel = new();
        StringBuilder joined = new();
        RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(async () =>
        {
            await foreach (string piece in replay.Client.StreamAsync(Question).WithCancellation(cancel.Token))
            {
                joined.Append(piece);
                await cancel.CancelAsync();
            }
        });
        Assert.Equal(cancel.Token, e.CancellationToken);
        Assert.NotEqual("", e.PartialResponse);
        Assert.StartsWith(joined.ToString(), e.PartialResponse, StringComparison.Ordinal);
        Assert.StartsWith(e.PartialResponse, replay.Text, StringComparison.Ordinal);
        Assert.True(e.TokensGenerated > 0);
        await EventuallyIdleAsync(replay.Client);
    }

    [HostFact]
    public async Task A_token_cancels_a_whole_answer_which_keeps_what_had_arrived()
    {
        await using Replay replay = await EndlessAsync();
        string arrived = "";
        for (int round = 0; round < 50 && arrived.Length == 0; round++)
        {
            using CancellationTokenSource cancel = new();
            Task<string> answer = replay.Client.AskAsync(Question, cancel.Token);
            await EventuallyAsync(() => replay.Client.Status.Running == 1, "the answer is being made");
            await Task.Delay(50 * round); // Its first token comes soon after that; nobody outside sees when.
            await cancel.CancelAsync();
            RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(() => answer);
            Assert.True(answer.IsCanceled);
            Assert.StartsWith(e.PartialResponse, replay.Text, StringComparison.Ordinal);
            arrived = e.PartialResponse;
            await EventuallyIdleAsync(replay.Client);
        }
        Assert.NotEqual("", arrived);
    }

    [HostFact]
    public async Task Another_client_cancels_by_the_id()
    {
        await using Replay replay = await EndlessAsync();
        await using LlamaClient other = await LlamaClient.ConnectAsync(replay.Options);
        using LlamaStream stream = replay.Client.OpenStream(Question);
        string id = stream.Id;
        await Assert.ThrowsAsync<RequestCanceledException>(async () =>
        {
            await foreach (string _ in stream)
            {
                if (id.Length > 0)
                {
                    other.Cancel(id);
                    id = "";
                }
            }
        });
        Assert.Equal(LlamaEnd.Cancelled, stream.Result!.End);
        Assert.StartsWith(stream.Result.Text, replay.Text, StringComparison.Ordinal);
        await EventuallyIdleAsync(replay.Client);
        LlamaIpcException e = Assert.ThrowsAny<LlamaIpcException>(() => other.Cancel(stream.Id));
        Assert.Equal(LipcError.Gone, e.Error);
        e = Assert.ThrowsAny<LlamaIpcException>(() => other.Cancel("x"));
        Assert.Equal(LipcError.Invalid, e.Error);
    }

    [HostFact]
    public async Task Leaving_the_loop_ends_the_work()
    {
        await using Replay replay = await EndlessAsync();
        for (int round = 0; round < 5; round++)
        {
            await foreach (string _ in replay.Client.StreamAsync(Question))
            {
                break;
            }
            await EventuallyIdleAsync(replay.Client);
        }
        using LlamaStream stream = replay.Client.OpenStream(Question);
        await foreach (string _ in stream)
        {
            break;
        }
        await EventuallyIdleAsync(replay.Client);
        Assert.Throws<RequestCanceledException>(() =>
        {
            while (stream.TryRead(out _))
            {
            }
        });
        Assert.Equal(LlamaEnd.Cancelled, stream.Result!.End);
        Assert.True(stream.Result.IsTruncated);
        Assert.NotEqual("", stream.Result.Text);
    }

    [HostFact]
    public async Task An_exception_in_the_loop_comes_out_unchanged_and_ends_the_work()
    {
        await using Replay replay = await EndlessAsync();
        await Assert.ThrowsAsync<FormatException>(async () =>
        {
            await foreach (string _ in replay.Client.StreamAsync(Question))
            {
                throw new FormatException();
            }
        });
        await EventuallyIdleAsync(replay.Client);
    }

    [HostFact]
    public async Task Cancelling_the_stream_itself_ends_the_loop_with_an_exception()
    {
        await using Replay replay = await EndlessAsync();
        using LlamaStream stream = replay.Client.OpenStream(Question);
        StringBuilder joined = new();
        RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(async () =>
        {
            await foreach (string piece in stream)
            {
                joined.Append(piece);
                stream.Cancel();
            }
        });
        Assert.Equal(joined.ToString(), e.PartialResponse);
        Assert.Equal(CancellationToken.None, e.CancellationToken);
        stream.Cancel();
    }

    [HostFact]
    public async Task A_token_that_is_cancelled_already_sends_nothing()
    {
        await using Replay replay = await EndlessAsync();
        CancellationToken cancelled = new(canceled: true);
        RequestCanceledException e =
            await Assert.ThrowsAsync<RequestCanceledException>(() => replay.Client.AskAsync(Question, cancelled));
        Assert.Equal(cancelled, e.CancellationToken);
        await Assert.ThrowsAsync<RequestCanceledException>(async () =>
        {
            await foreach (string _ in replay.Client.StreamAsync(Question, cancelled))
            {
                Assert.Fail("nothing was to be sent");
            }
        });
        Assert.Equal(0, replay.Client.Status.Running + replay.Client.Status.Queued);
    }

    [HostFact]
    public async Task A_host_that_hangs_does_not_hold_up_cancelling()
    {
        await using Replay replay = await EndlessAsync();
        int host = replay.Client.Status.ProcessId;
        using CancellationTokenSource cancel = new();
        Task<string> running = replay.Client.AskAsync(Question, cancel.Token);
        await EventuallyAsync(() => replay.Client.Status.Running == 1, "the answer is being made");
        Pause(host);
        Task<string> waiting = replay.Client.AskAsync(Question, cancel.Token);
        Stopwatch watch = Stopwatch.StartNew();
        await cancel.CancelAsync();
        await Assert.ThrowsAsync<RequestCanceledException>(() => running);
        await Assert.ThrowsAsync<RequestCanceledException>(() => waiting);
        Assert.True(watch.ElapsedMilliseconds < 60000, $"{watch.ElapsedMilliseconds} ms");
        Resume(host);
        await EventuallyIdleAsync(replay.Client);
    }

    [HostFact]
    public async Task Cancelling_one_stream_leaves_the_others_alone()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(2000), rate: 500, arguments: ["-np", "8"]);
        using CancellationTokenSource cancel = new();
        Task<string>[] kept = [.. Enumerable.Range(0, 3).Select(_ => replay.Client.AskAsync(Question))];
        Task<string>[] cancelled =
            [.. Enumerable.Range(0, 3).Select(_ => replay.Client.AskAsync(Question, cancel.Token))];
        await EventuallyAsync(() => replay.Client.Status.Running == 6, "all answers are being made");
        await cancel.CancelAsync();
        foreach (Task<string> answer in cancelled)
        {
            await Assert.ThrowsAsync<RequestCanceledException>(() => answer);
        }
        Assert.All(await Task.WhenAll(kept), answer => Assert.Equal(replay.Text, answer));
    }

    [HostFact]
    public async Task Disposing_of_the_client_ends_all_loops()
    {
        await using Replay replay = await EndlessAsync();
        LlamaClient client = await replay.AnotherClientAsync();
        Task<string>[] answers = [.. Enumerable.Range(0, 12).Select(_ => client.AskAsync(Question))];
        using LlamaStream polled = client.OpenStream(Question);
        await EventuallyAsync(() => client.Status.Running > 0, "answers are being made");
        Stopwatch watch = Stopwatch.StartNew();
        await client.DisposeAsync();
        foreach (Task<string> answer in answers)
        {
            RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(() => answer);
            Assert.Contains("disposed", e.Message, StringComparison.Ordinal);
        }
        Assert.Throws<RequestCanceledException>(() =>
        {
            while (polled.TryRead(out _))
            {
            }
        });
        Assert.True(watch.ElapsedMilliseconds < 60000, $"{watch.ElapsedMilliseconds} ms");
        await EventuallyIdleAsync(replay.Client);
    }

    [HostFact]
    public async Task Disposing_of_a_stream_ends_its_loop_and_its_work()
    {
        await using Replay replay = await EndlessAsync();
        LlamaStream stream = replay.Client.OpenStream(Question);
        TaskCompletionSource begun = new();
        Task loop = Task.Run(async () =>
        {
            await foreach (string _ in stream)
            {
                begun.TrySetResult();
            }
        });
        await begun.Task;
        stream.Dispose();
        RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(() => loop);
        Assert.NotEqual("", e.PartialResponse);
        stream.Dispose();
        stream.Cancel();
        Assert.True(stream.Progress.Tokens >= 0);
        Assert.NotEqual("", stream.Text);
        Assert.Throws<ObjectDisposedException>(() => stream.TryRead(out _));
        Assert.Throws<ObjectDisposedException>(() => stream.GetTokens());
        await EventuallyIdleAsync(replay.Client);
    }

    [HostFact]
    public async Task A_forgotten_stream_ends_its_work()
    {
        await using Replay replay = await EndlessAsync();
        await OpenAndForgetAsync(replay.Client);
        await EventuallyAsync(
            () =>
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
                return replay.Client.Status.Running == 0;
            },
            "the host has stopped");
    }

    [HostFact]
    public async Task Shutting_down_ends_answers_with_an_exception_or_whole()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(1000), rate: 200, arguments: ["-np", "1"]);
        Task<string> running = replay.Client.AskAsync(Question);
        await EventuallyAsync(() => replay.Client.Status.Running == 1, "the answer is being made");
        Task<string> queued = replay.Client.AskAsync(Question);
        await replay.Client.ShutdownAsync();
        Assert.Equal(replay.Text, await running);
        await Assert.ThrowsAsync<HostGoneException>(() => queued);
    }

    [HostFact]
    public async Task Cancelling_at_any_moment_leaves_a_host_that_serves()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(30), rate: 2000, arguments: ["--streams", "4"]);
        int cancelled = 0;
        int whole = 0;
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async worker =>
        {
            Random random = new(worker);
            for (int round = 0; round < 60; round++)
            {
                // Some for certain, others for certain not, however slow the machine is.
                using CancellationTokenSource cancel = new((round % 20) switch
                {
                    0 => TimeSpan.Zero,
                    10 or 11 => Timeout.InfiniteTimeSpan,
                    _ => TimeSpan.FromMilliseconds(random.NextDouble() * 150),
                });
                try
                {
                    if (round % 3 == 0)
                    {
                        using LlamaStream stream = replay.Client.OpenStream(Question);
                        using CancellationTokenRegistration closing = cancel.Token.Register(stream.Dispose);
                        await foreach (string _ in stream)
                        {
                        }
                        Assert.Equal(replay.Text, stream.Text);
                    }
                    else
                    {
                        Assert.Equal(replay.Text, await replay.Client.AskAsync(Question, cancel.Token));
                    }
                    Interlocked.Increment(ref whole);
                }
                catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
                {
                    Interlocked.Increment(ref cancelled);
                }
            }
        }));
        Assert.True(cancelled > 0 && whole > 0, $"{cancelled} cancelled, {whole} whole");
        await EventuallyIdleAsync(replay.Client);
        Assert.Equal(replay.Text, await replay.Client.AskAsync(Question));
    }

    private static Task<Replay> EndlessAsync() => Replay.StartAsync(Replay.Words(20_000), rate: 200);

    private static Task EventuallyIdleAsync(LlamaClient client) => EventuallyAsync(
        () => client.Status is { Running: 0, Queued: 0 }, "the host has stopped working");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task OpenAndForgetAsync(LlamaClient client)
    {
        LlamaStream stream = client.OpenStream(Question);
        await EventuallyAsync(() => stream.Progress.Tokens > 0, "the answer is being made");
    }
}
