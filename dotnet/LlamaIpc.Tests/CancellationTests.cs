// Cancelling: the caller gets an OperationCanceledException with what had arrived, the host stops and serves the next
// request.
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class CancellationTests
{
    private const string Question = "What is C++?";

    [HostFact]
    public async Task A_token_cancels_a_blocking_stream_in_the_middle()
    {
        using LongAnswer longAnswer = new();
        using LlamaCppStreamingClient client = await ConnectAsync(Options(longAnswer.Arguments));
        using CancellationTokenSource cancel = new();
        bool completed = false;
        client.OnStreamUpdate += (_, e) =>
        {
            completed |= e.IsComplete;
            if (e.TokensGenerated >= 3)
            {
                cancel.Cancel();
            }
        };
        RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(
            () => Blocking(() => client.SendStreamingRequest(Question, "", cancel.Token)));
        Assert.Equal(cancel.Token, e.CancellationToken);
        Assert.NotEqual("", e.PartialResponse);
        Assert.True(e.TokensGenerated >= 3);
        Assert.False(completed);
        Assert.Equal("", await client.SendRequestAsync(""));
    }

    /// <summary>Longer prompts than the guide's channel has room for go another way.</summary>
    private static string QuestionOf(bool isLong) => isLong ? string.Concat(Enumerable.Repeat(Question + " ", 400)) : Question;

    [HostTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_token_that_is_cancelled_at_the_last_update_still_cancels(bool isLong)
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("-n", "4", "-c", "8192"));
        using CancellationTokenSource cancel = new();
        string text = "";
        client.OnStreamUpdate += (_, e) =>
        {
            text = e.PartialResponse;
            if (e.IsComplete)
            {
                cancel.Cancel();
            }
        };
        RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(
            () => Blocking(() => client.SendStreamingRequest(QuestionOf(isLong), "", cancel.Token)));
        Assert.True(cancel.IsCancellationRequested);
        Assert.Equal(text, e.PartialResponse);
    }

    [HostTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_thread_that_is_interrupted_leaves_a_client_that_serves(bool isLong)
    {
        using LongAnswer longAnswer = new();
        using LlamaCppStreamingClient client = await ConnectAsync(Options(longAnswer.Arguments));
        using ManualResetEventSlim isStreaming = new();
        void See(object? sender, StreamUpdateEventArgs e) => isStreaming.Set();
        client.OnStreamUpdate += See;
        Exception? thrown = null;
        Thread caller = new(() => thrown = Record.Exception(() => client.SendStreamingRequest(QuestionOf(isLong))));
        caller.Start();
        await Blocking(isStreaming.Wait);
        caller.Interrupt();
        await Blocking(caller.Join);
        Assert.IsType<ThreadInterruptedException>(thrown);
        client.OnStreamUpdate -= See;
        Assert.Equal("", await client.SendRequestAsync(""));
    }

    [HostFact]
    public async Task A_token_cancels_an_asynchronous_stream_in_the_middle()
    {
        using LongAnswer longAnswer = new();
        using LlamaCppStreamingClient client = await ConnectAsync(Options(longAnswer.Arguments));
        using CancellationTokenSource cancel = new();
        client.OnStreamUpdate += (_, _) => cancel.Cancel();
        Task<string> request = client.SendStreamingRequestAsync(Question, "", cancel.Token);
        RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(() => request);
        Assert.True(request.IsCanceled);
        Assert.Equal(cancel.Token, e.CancellationToken);
        Assert.Equal("", await client.SendRequestAsync(""));
    }

    [HostFact]
    public async Task A_token_cancels_a_request_that_waits_for_its_host()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        foreach (bool blocking in (bool[])[true, false])
        {
            using CancellationTokenSource cancel = new();
            int host = client.HostProcessId;
            Pause(host);
            Task request = blocking
                ? Blocking(() => client.SendRequest(Question, "", cancel.Token))
                : client.SendRequestAsync(Question, "", cancel.Token);
            Assert.False(request.IsCompleted);
            await cancel.CancelAsync();
            Resume(host);
            await Assert.ThrowsAsync<RequestCanceledException>(() => request);
            Assert.NotEqual("", await client.SendRequestAsync(Question));
        }
    }

    [HostFact]
    public async Task A_host_that_hangs_does_not_hold_up_a_cancelled_asynchronous_call()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        using CancellationTokenSource cancel = new();
        int host = client.HostProcessId;
        Pause(host);
        Task request = client.SendRequestAsync(Question, "", cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAsync<RequestCanceledException>(() => request.WaitAsync(TimeSpan.FromMinutes(1)));
        Resume(host);
        Assert.NotEqual("", await client.SendRequestAsync(Question));
    }

    [HostFact]
    public async Task A_token_that_is_cancelled_already_sends_nothing()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        CancellationToken cancelled = new(canceled: true);
        await Assert.ThrowsAsync<RequestCanceledException>(() => client.SendRequestAsync(Question, "", cancelled));
        Assert.ThrowsAny<OperationCanceledException>(() => client.SendStreamingRequest(Question, "", cancelled));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (string _ in client.StreamAsync(Question, "", cancelled))
            {
                Assert.Fail("nothing was to be sent");
            }
        });
        Assert.DoesNotContain("Stream Mode: Enabled", client.HostOutputLines);
    }

    [HostFact]
    public async Task A_token_cancels_a_request_that_waits_for_its_turn()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos"));
        using ManualResetEventSlim inHandler = new();
        using ManualResetEventSlim goOn = new();
        client.OnStreamUpdate += (_, _) =>
        {
            inHandler.Set();
            goOn.Wait();
        };
        using CancellationTokenSource cancelFirst = new();
        Task first = Blocking(() => client.SendStreamingRequest(Question, "", cancelFirst.Token));
        await Blocking(inHandler.Wait);

        using CancellationTokenSource cancel = new();
        Task<string> second = client.SendRequestAsync(Question, "", cancel.Token);
        Task<string> third = Blocking(() => client.SendRequest(Question, "", cancel.Token));
        await cancel.CancelAsync();
        await Assert.ThrowsAsync<RequestCanceledException>(() => second);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => third);
        Assert.False(first.IsCompleted);

        await cancelFirst.CancelAsync();
        goOn.Set();
        await Assert.ThrowsAsync<RequestCanceledException>(() => first);
    }

    [HostFact]
    public async Task Leaving_the_loop_stops_the_work()
    {
        using LongAnswer longAnswer = new();
        using LlamaCppStreamingClient client = await ConnectAsync(Options(longAnswer.Arguments));
        for (int round = 0; round < 5; round++)
        {
            await foreach (string piece in client.StreamAsync(Question))
            {
                Assert.NotEqual("", piece);
                break;
            }
        }
        Assert.Equal("", await client.SendRequestAsync(""));
    }

    [HostFact]
    public async Task A_token_ends_the_loop_with_an_exception()
    {
        using LongAnswer longAnswer = new();
        using LlamaCppStreamingClient client = await ConnectAsync(Options(longAnswer.Arguments));
        using CancellationTokenSource cancel = new();
        int pieces = 0;
        RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(async () =>
        {
            await foreach (string _ in client.StreamAsync(Question).WithCancellation(cancel.Token))
            {
                pieces++;
                await cancel.CancelAsync();
            }
        });
        Assert.True(pieces > 0);
        Assert.Equal(cancel.Token, e.CancellationToken);
        Assert.NotEqual("", e.PartialResponse);
        Assert.Equal("", await client.SendRequestAsync(""));
    }

    [HostFact]
    public async Task An_exception_in_the_loop_comes_out_unchanged()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos"));
        await Assert.ThrowsAsync<FormatException>(async () =>
        {
            await foreach (string _ in client.StreamAsync(Question))
            {
                throw new FormatException("the loop's own");
            }
        });
        Assert.Equal("", await client.SendRequestAsync(""));
    }

    [HostFact]
    public async Task Cancelling_at_any_moment_leaves_a_host_that_serves()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        string expected = await client.SendRequestAsync(Question);
        Random random = new(1);
        int cancelled = 0;
        for (int round = 0; round < 100; round++)
        {
            using CancellationTokenSource cancel = new(TimeSpan.FromMilliseconds(random.NextDouble() * 30));
            try
            {
                string answer = round % 2 == 0
                    ? await client.SendRequestAsync(Question, "", cancel.Token)
                    : await client.SendStreamingRequestAsync(Question, "", cancel.Token);
                Assert.Equal(expected, answer);
            }
            catch (OperationCanceledException)
            {
                cancelled++;
            }
            if (round % 10 == 0)
            {
                Assert.Equal(expected, await client.SendRequestAsync(Question));
            }
        }
        Assert.True(cancelled > 0, "no round was cancelled");
    }

    [HostFact]
    public async Task An_exception_in_a_handler_cancels_the_request_and_reaches_the_caller()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos"));
        int calls = 0;
        void Handler(object? sender, StreamUpdateEventArgs e)
        {
            calls++;
            throw new FormatException("the handler's own");
        }

        client.OnStreamUpdate += Handler;
        FormatException thrown = await Assert.ThrowsAsync<FormatException>(
            () => Blocking(() => client.SendStreamingRequest(Question)));
        Assert.Equal("the handler's own", thrown.Message);
        Assert.Contains(nameof(Handler), thrown.StackTrace, StringComparison.Ordinal);
        Assert.Equal(1, calls);

        await Assert.ThrowsAsync<FormatException>(() => client.SendStreamingRequestAsync(Question));
        Assert.Equal(2, calls);

        client.OnStreamUpdate -= Handler;
        Assert.Equal("", await client.SendRequestAsync("").WaitAsync(TimeSpan.FromMinutes(1)));
    }

    [HostFact]
    public async Task A_handler_cannot_send_a_request_of_its_own()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        client.OnStreamUpdate += (_, _) => client.SendRequest("and this?");
        await Assert.ThrowsAsync<InvalidOperationException>(() => Blocking(() => client.SendStreamingRequest(Question)));
    }
}
