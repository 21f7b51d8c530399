// LlamaStream: reading answers of the modern channel, how they end, and what is known about them.
using System.Diagnostics;
using System.Text;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class StreamTests
{
    private const string Question = "What is C++?";

    // ---- Reading ----

    [HostFact]
    public async Task The_pieces_joined_are_the_answer()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(300), rate: 1000);
        using LlamaStream stream = replay.Client.OpenStream(Question);
        Assert.Null(stream.Result);
        StringBuilder joined = new();
        await foreach (string piece in stream)
        {
            Assert.NotEqual("", piece);
            Assert.False(char.IsLowSurrogate(piece[0]) || char.IsHighSurrogate(piece[^1]), "half a character");
            joined.Append(piece);
            Assert.StartsWith(joined.ToString(), stream.Text, StringComparison.Ordinal);
        }
        Assert.Equal(replay.Text, joined.ToString());
        Assert.Equal(replay.Text, stream.Text);

        LlamaResult result = stream.Result!;
        Assert.Equal(replay.Text, result.Text);
        Assert.Equal(LlamaEnd.Turn, result.End);
        Assert.False(result.IsTruncated);
        Assert.True(result.Tokens >= 300);
        Assert.True(result.PromptTokens > 0);
        Assert.Equal((result.Tokens - 1) / result.GenerateTime.TotalSeconds, result.TokensPerSecond);
        Assert.Equal(Encoding.UTF8.GetByteCount(replay.Text), stream.Offset);
        Assert.Equal(LlamaStreamState.Ended, stream.Progress.State);
        Assert.Equal(result.Tokens, stream.Progress.Tokens);
        Assert.Equal(stream.Offset, stream.Progress.Bytes);
        Assert.False(stream.TryRead(out _));
    }

    [HostFact]
    public async Task Looking_once_for_each_frame_reads_everything()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(100), rate: 1000);
        using LlamaStream stream = replay.Client.OpenStream(Question);
        StringBuilder shown = new();
        while (stream.Result is null)
        {
            while (stream.TryRead(out string? piece))
            {
                shown.Append(piece);
            }
            await Task.Delay(5);
        }
        Assert.Equal(replay.Text, shown.ToString());
        await EventuallyAsync(() => WaiterThreads() == 0, "no thread waits");
    }

    [HostFact]
    public async Task An_answer_that_is_read_late_is_whole()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(20_000), rate: 0);
        using LlamaStream stream = replay.Client.OpenStream(Question);
        await EventuallyAsync(() => stream.Progress.State == LlamaStreamState.Ended, "the answer is complete");
        Assert.True(stream.TryRead(out string? all));
        Assert.Equal(replay.Text, all);
        Assert.Null(stream.Result);
        Assert.False(stream.TryRead(out _));
        Assert.NotNull(stream.Result);
    }

    [HostFact]
    public async Task Whole_answers_and_conversations()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        string answer = await client.AskAsync(Question);
        StringBuilder joined = new();
        await foreach (string piece in client.StreamAsync(Question))
        {
            joined.Append(piece);
        }
        Assert.Equal(answer, joined.ToString());

        LlamaRequest conversation = new(
            LlamaMessage.System("You are a helpful tutor"),
            LlamaMessage.User(Question),
            LlamaMessage.Assistant(answer),
            LlamaMessage.User("What is a pointer?"));
        string second = await client.AskAsync(conversation);
        Assert.NotEqual("", second);
        Assert.NotEqual(answer, second);
    }

    [HostFact]
    public async Task Text_goes_to_the_host_and_back_exactly()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        const string Text = "ä Ж € 🎉 \u0001 \u200d \r\n\t\"";

        // The grammar allows nothing but the text, so the answer is what has come through twice.
        string quoted = string.Concat(Text.EnumerateRunes().Select(rune => $"\\U{rune.Value:X8}"));
        string answer = await client.AskAsync(new LlamaRequest(Text) { Grammar = $"root ::= \"{quoted}\"" });
        Assert.Equal(Text, answer);
    }

    [HostFact]
    public async Task Waiting_streams_block_no_thread_of_the_pool()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(1), rate: 0, arguments: ["--streams", "2"]);
        Pause(replay.Client.Status.ProcessId);
        Task<string>[] waiting = [.. Enumerable.Range(0, 200).Select(_ => replay.Client.AskAsync(Question))];
        await Task.Delay(50);
        int threads = ThreadPool.ThreadCount;
        Stopwatch watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => Task.Run(() => Thread.Sleep(1))));
        Assert.True(watch.ElapsedMilliseconds < 60000, $"the pool was busy for {watch.ElapsedMilliseconds} ms");
        Assert.True(ThreadPool.ThreadCount < threads + 50, $"{threads} and then {ThreadPool.ThreadCount} threads");
        Assert.DoesNotContain(waiting, answer => answer.IsCompleted);
        Resume(replay.Client.Status.ProcessId);
        Assert.All(await Task.WhenAll(waiting), answer => Assert.Equal(replay.Text, answer));
    }

    [HostFact]
    public async Task A_loop_that_blocks_holds_up_no_other()
    {
        // Long enough that the loop has had to wait before its third piece, however few pieces there are.
        await using Replay replay = await Replay.StartAsync(Replay.Words(10_000), rate: 200);
        using ManualResetEventSlim goOn = new();
        TaskCompletionSource inLoop = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task blocked = Task.Run(async () =>
        {
            int pieces = 0;
            await foreach (string _ in replay.Client.StreamAsync(Question))
            {
                if (++pieces == 3) // by now it has had to wait for one
                {
                    inLoop.TrySetResult();
                    goOn.Wait();
                    break;
                }
            }
        });
        await inLoop.Task;
        string other = await replay.Client.AskAsync(new LlamaRequest(Question) { MaxTokens = 20 });
        Assert.NotEqual("", other);
        Assert.StartsWith(other, replay.Text, StringComparison.Ordinal);
        goOn.Set();
        await blocked;
    }

    [HostFact]
    public async Task A_loop_in_a_window_runs_on_its_thread()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(20), rate: 500);
        using UiThread ui = new();
        TaskCompletionSource done = new();
        await ui.InvokeAsync(async () =>
        {
            await foreach (string _ in replay.Client.StreamAsync(Question))
            {
                Assert.Equal(ui.ThreadId, Environment.CurrentManagedThreadId);
            }
            done.SetResult();
        });
        await done.Task;
        Assert.Empty(ui.Unhandled);
    }

    [HostFact]
    public async Task A_client_that_wants_few_wakes_gets_larger_pieces()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(500), rate: 1000, wakesPerSecond: 20);
        Stopwatch watch = Stopwatch.StartNew();
        List<long> times = [];
        StringBuilder joined = new();
        await foreach (string piece in replay.Client.StreamAsync(Question))
        {
            times.Add(watch.ElapsedMilliseconds);
            joined.Append(piece);
        }
        Assert.Equal(replay.Text, joined.ToString());
        // As many as the time that it took allows, however slow the machine is; without the option some 500.
        long most = 5 + (20 * watch.ElapsedMilliseconds / 1000);
        Assert.True(times.Count <= most, $"pieces came after {string.Join(", ", times)} ms");
    }

    [HostFact]
    public async Task One_loop_at_a_time()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(1000), rate: 100);
        using LlamaStream stream = replay.Client.OpenStream(Question);
        await foreach (string _ in stream)
        {
            await using IAsyncEnumerator<string> second = stream.GetAsyncEnumerator();
            await Assert.ThrowsAsync<InvalidOperationException>(async () => await second.MoveNextAsync());
            break;
        }
    }

    // ---- How answers end ----

    [HostFact]
    public async Task A_limit_that_was_asked_for_is_a_whole_answer()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(100), rate: 0);
        LlamaRequest request = new(Question) { MaxTokens = 7 };
        Assert.StartsWith(await replay.Client.AskAsync(request), replay.Text, StringComparison.Ordinal);
        using LlamaStream stream = replay.Client.OpenStream(request);
        await foreach (string _ in stream)
        {
        }
        Assert.Equal(LlamaEnd.Limit, stream.Result!.End);
        Assert.Equal(7, stream.Result.Tokens);
        Assert.False(stream.Result.IsTruncated);
    }

    [HostFact]
    public async Task An_answer_without_room_does_not_pass_for_a_whole_one()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(100), rate: 0, arguments: ["-n", "9"]);
        AnswerTruncatedException e =
            await Assert.ThrowsAsync<AnswerTruncatedException>(() => replay.Client.AskAsync(Question));
        Assert.Equal(LlamaEnd.Limit, e.End);
        Assert.Equal(9, e.TokensGenerated);
        Assert.NotEqual("", e.PartialResponse);
        Assert.StartsWith(e.PartialResponse, replay.Text, StringComparison.Ordinal);

        StringBuilder joined = new();
        await Assert.ThrowsAsync<AnswerTruncatedException>(async () =>
        {
            await foreach (string piece in replay.Client.StreamAsync(Question))
            {
                joined.Append(piece);
            }
        });
        Assert.Equal(e.PartialResponse, joined.ToString());

        using LlamaStream stream = replay.Client.OpenStream(Question);
        await foreach (string _ in stream)
        {
        }
        Assert.True(stream.Result!.IsTruncated);
    }

    [HostFact]
    public async Task A_full_context_ends_an_answer_without_its_end()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions("-c", "256", "-np", "1"));
        AnswerTruncatedException e = await Assert.ThrowsAsync<AnswerTruncatedException>(
            () => client.AskAsync(new LlamaRequest(Question) { IgnoreEos = true }));
        Assert.Equal(LlamaEnd.Context, e.End);
        Assert.NotEqual("", e.PartialResponse);
    }

    [HostFact]
    public async Task A_stop_string_ends_the_answer_before_it()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(100), rate: 0);
        LlamaRequest request = new(Question) { Stops = ["nowhere", "🎉 w7ä"] };
        using LlamaStream stream = replay.Client.OpenStream(request);
        await foreach (string _ in stream)
        {
        }
        Assert.Equal(replay.Text[..replay.Text.IndexOf("🎉 w7ä", StringComparison.Ordinal)], stream.Text);
        Assert.Equal(LlamaEnd.Stop, stream.Result!.End);
        Assert.False(stream.Result.IsTruncated);
    }

    [HostFact]
    public async Task What_the_host_refuses_is_an_exception_with_its_reason()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using LlamaStream stream = client.OpenStream(new LlamaRequest(Question) { Grammar = "root ::= (" });
        RequestRefusedException e = await Assert.ThrowsAsync<RequestRefusedException>(async () =>
        {
            await foreach (string _ in stream)
            {
            }
        });
        Assert.Contains("grammar", e.Message, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(LlamaEnd.Refused, stream.Result!.End);
        Assert.Equal(LipcError.Refused, stream.Progress.Error);
        Assert.Throws<RequestRefusedException>(() => stream.TryRead(out _));

        string large = new('x', checked((int)client.Status.RequestBytes + 1));
        Assert.Throws<RequestRefusedException>(() => client.OpenStream(large));
        Assert.NotEqual("", await client.AskAsync(Question));
    }

    [HostFact]
    public async Task A_killed_host_ends_the_answer_with_what_had_arrived()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(10_000), rate: 200);
        int host = replay.Client.Status.ProcessId;
        int pieces = 0;
        HostGoneException e = await Assert.ThrowsAsync<HostGoneException>(async () =>
        {
            await foreach (string _ in replay.Client.StreamAsync(Question))
            {
                if (++pieces == 5)
                {
                    Signal(host, SigKill);
                }
            }
        });
        Assert.NotEqual("", e.PartialResponse);
        Assert.StartsWith(e.PartialResponse, replay.Text, StringComparison.Ordinal);
        Assert.True(e.TokensGenerated >= 5);
        await EventuallyAsync(() => replay.Client.Status.State == LlamaHostState.Gone, "the client knows");
        await Assert.ThrowsAsync<HostGoneException>(() => replay.Client.AskAsync(Question));
        await Assert.ThrowsAsync<HostGoneException>(() => replay.Client.WaitReadyAsync());
    }

    [HostFact]
    public async Task Requests_that_make_no_sense_are_refused()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(1), rate: 0);
        LlamaRequest good = new(Question);
        (LlamaRequest Request, Type Exception)[] wrong =
        [
            (new LlamaRequest(), typeof(RequestInvalidException)),
            (new LlamaRequest(new LlamaMessage("teacher", "x")), typeof(RequestInvalidException)),
            (good with { Temperature = -1 }, typeof(RequestInvalidException)),
            (good with { TopP = 2 }, typeof(RequestInvalidException)),
            (good with { Priority = 101 }, typeof(RequestInvalidException)),
            (good with { Seed = -3 }, typeof(RequestInvalidException)),
            (good with { Stops = [""] }, typeof(RequestInvalidException)),
            (good with { Stops = [.. Enumerable.Repeat("x", 17)] }, typeof(RequestInvalidException)),
            (good with { Seed = -2 }, typeof(ArgumentOutOfRangeException)),
            (good with { Temperature = float.NaN }, typeof(ArgumentOutOfRangeException)),
            (good with { MaxTokens = int.MinValue }, typeof(ArgumentOutOfRangeException)),
            (good with { Stops = ["a\0b"] }, typeof(ArgumentException)),
            (good with { Stops = [null!] }, typeof(ArgumentNullException)),
            (good with { Stops = null! }, typeof(ArgumentNullException)),
            (good with { Grammar = "a\0b" }, typeof(ArgumentException)),
            (good with { Messages = null! }, typeof(ArgumentNullException)),
            (good with { Messages = [null!] }, typeof(ArgumentNullException)),
            (new LlamaRequest(LlamaMessage.User(null!)), typeof(ArgumentNullException)),
            (new LlamaRequest("a\0b"), typeof(ArgumentException)),
            (new LlamaRequest("half \ud83c of a character"), typeof(ArgumentException)),
        ];
        foreach ((LlamaRequest request, Type exception) in wrong)
        {
            Exception? thrown = Record.Exception(() => replay.Client.OpenStream(request));
            Assert.True(thrown?.GetType() == exception, $"{exception.Name} was to be thrown, not {thrown}: {request}");
            Assert.True(thrown is not LlamaIpcException { Error: not LipcError.Invalid }, $"{thrown}");
        }
        Assert.Equal(replay.Text, await replay.Client.AskAsync(good));
    }

    // ---- What is known about them ----

    [HostFact]
    public async Task Tokens_lead_through_the_text()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using LlamaStream stream = client.OpenStream(new LlamaRequest(Question) { LogProbabilities = true });
        await foreach (string _ in stream)
        {
        }
        IReadOnlyList<LlamaToken> tokens = stream.GetTokens();
        Assert.Equal(stream.Result!.Tokens, tokens.Count);
        Assert.Equal(stream.Offset, tokens[^1].EndOffset);
        Assert.All(tokens, token => Assert.InRange(token.LogProbability!.Value, -20, 0));
        Assert.Equal(tokens.OrderBy(token => token.EndOffset).ThenBy(token => token.Time), tokens);
        Assert.Equal(tokens.Skip(3), stream.GetTokens(3));
        Assert.Empty(stream.GetTokens(tokens.Count));
        Assert.Throws<ArgumentOutOfRangeException>(() => stream.GetTokens(-1));

        using LlamaStream without = client.OpenStream(Question);
        await foreach (string _ in without)
        {
        }
        Assert.All(without.GetTokens(), token => Assert.Null(token.LogProbability));
        Assert.Empty(without.GetProbabilities(0));
    }

    [HostFact]
    public async Task The_likeliest_tokens_are_told()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using LlamaStream stream = client.OpenStream(new LlamaRequest(Question) { Temperature = 0, NProbs = 3 });
        string answer = "";
        await foreach (string piece in stream)
        {
            answer += piece;
        }
        IReadOnlyList<LlamaToken> tokens = stream.GetTokens();
        string likeliest = "";
        for (int i = 0; i < tokens.Count; i++)
        {
            IReadOnlyList<LlamaProbability> found = stream.GetProbabilities(i);
            Assert.Equal(3, found.Count);
            Assert.Equal(tokens[i].Id, found[0].Id);
            Assert.Equal(tokens[i].LogProbability, found[0].LogProbability);
            Assert.Equal(found.OrderByDescending(each => each.LogProbability), found);
            likeliest += found[0].Text;
        }
        Assert.Equal(answer.Trim(), likeliest.Trim());
        Assert.Empty(stream.GetProbabilities(tokens.Count));
        Assert.Throws<ArgumentOutOfRangeException>(() => stream.GetProbabilities(-1));
    }

    [HostFact]
    public async Task A_seed_gives_the_same_answer_again()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        LlamaRequest request = new(Question) { Temperature = 3, TopK = 0, TopP = 1, MinP = 0, MaxTokens = 40 };
        using LlamaStream first = client.OpenStream(request with { Seed = LlamaRequest.RandomSeed });
        await foreach (string _ in first)
        {
        }
        Assert.Equal(first.Text, await client.AskAsync(request with { Seed = first.Result!.Seed }));
        Assert.NotEqual(first.Text, await client.AskAsync(request with { Seed = first.Result.Seed ^ 1 }));
    }

    [HostFact]
    public async Task A_request_that_waits_for_its_turn_says_so()
    {
        await using Replay replay = await Replay.StartAsync(
            Replay.Words(10_000), rate: 100, arguments: ["-np", "1", "--streams", "3"]);
        using LlamaStream running = replay.Client.OpenStream(Question);
        await EventuallyAsync(() => running.Progress.State == LlamaStreamState.Generating, "the first has its turn");
        LlamaRequest request = new(Question) { MaxTokens = 2 };
        List<LlamaStream> waiting = [.. Enumerable.Range(0, 5).Select(_ => replay.Client.OpenStream(request))];
        await EventuallyAsync(() => waiting[^1].Progress.QueuePosition > 0, "the last is told its position");
        Assert.All(waiting, stream => Assert.Equal(LlamaStreamState.Queued, stream.Progress.State));
        running.Cancel();
        foreach (LlamaStream stream in waiting)
        {
            await foreach (string _ in stream)
            {
            }
            Assert.True(stream.Result!.QueueTime > TimeSpan.Zero);
            stream.Dispose();
        }
    }

    // ---- Finding them again ----

    [HostFact]
    public async Task A_detached_stream_is_found_again_and_read_on()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(200), rate: 1000);
        string id;
        long offset;
        StringBuilder joined = new();
        await using (LlamaClient first = await replay.AnotherClientAsync())
        {
            using LlamaStream stream = first.OpenStream(new LlamaRequest(Question) { Detachable = true });
            await using IAsyncEnumerator<string> pieces = stream.GetAsyncEnumerator();
            Assert.True(await pieces.MoveNextAsync());
            joined.Append(pieces.Current);
            offset = stream.Offset;
            id = stream.Detach();
            Assert.Matches("^[0-9a-f]{32}$", id);
            await Assert.ThrowsAsync<RequestCanceledException>(async () => await pieces.MoveNextAsync());
            Assert.Throws<ObjectDisposedException>(() => stream.TryRead(out _));
            Assert.Equal(id, stream.Id);
        }

        using LlamaStream found = replay.Client.Attach(id, offset);
        Assert.Equal(id, found.Id);
        await foreach (string piece in found)
        {
            joined.Append(piece);
        }
        Assert.Equal(replay.Text, joined.ToString());
    }

    [HostFact]
    public async Task A_stream_is_followed_by_others_without_being_theirs()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(300), rate: 1000);
        using LlamaStream owned = replay.Client.OpenStream(Question);
        await using LlamaClient other = await replay.AnotherClientAsync();
        foreach (bool readOnly in (bool[])[true, false])
        {
            using LlamaStream leaving = other.Attach(owned.Id, readOnly: readOnly);
            await foreach (string _ in leaving)
            {
                break;
            }
            leaving.Cancel();
        }
        using LlamaStream followed = other.Attach(owned.Id, readOnly: true);
        await foreach (string _ in followed)
        {
        }
        Assert.Equal(replay.Text, followed.Text);
        await foreach (string _ in owned)
        {
        }
        Assert.Equal(replay.Text, owned.Text);
    }

    [HostFact]
    public async Task A_stream_that_does_not_exist_is_not_found()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(3), rate: 0);
        Assert.Equal(
            LipcError.Gone,
            Assert.Throws<StreamNotFoundException>(() => replay.Client.Attach(new string('a', 32))).Error);
        Assert.Equal(
            LipcError.Invalid,
            Assert.Throws<RequestInvalidException>(() => replay.Client.Attach("no id")).Error);
        Assert.Throws<ArgumentOutOfRangeException>(() => replay.Client.Attach(new string('a', 32), -1));
        using LlamaStream stream = replay.Client.OpenStream(Question);
        Assert.Throws<InvalidOperationException>(stream.Detach);
        Assert.True(await ReadsAsync(stream));
    }

    private static async Task<bool> ReadsAsync(LlamaStream stream)
    {
        await foreach (string _ in stream)
        {
            return true;
        }
        return false;
    }
}
