// Requests and their answers, as the guide describes them, against the real host.
using System.Diagnostics;
using System.Text;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class RequestTests
{
    private const string Question = "What is C++?";

    [HostFact]
    public async Task Normal_mode_gives_the_whole_answer()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        string answer = await Blocking(() => client.SendRequest(Question));
        Assert.NotEqual("", answer);
        Assert.Equal(answer, await client.SendRequestAsync(Question));
    }

    [HostFact]
    public async Task Streaming_reports_the_growing_answer()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        List<StreamUpdateEventArgs> updates = [];
        List<object?> senders = [];
        client.OnStreamUpdate += (sender, e) =>
        {
            senders.Add(sender);
            updates.Add(e);
        };
        string answer = await Blocking(() => client.SendStreamingRequest(Question, "You are a helpful tutor"));

        Assert.NotEmpty(updates);
        Assert.All(senders, sender => Assert.Same(client, sender));
        for (int i = 1; i < updates.Count; i++)
        {
            Assert.StartsWith(updates[i - 1].PartialResponse, updates[i].PartialResponse, StringComparison.Ordinal);
            Assert.True(updates[i].TokensGenerated >= updates[i - 1].TokensGenerated);
            Assert.False(updates[i - 1].IsComplete);
        }
        Assert.True(updates[^1].IsComplete);
        Assert.Equal(answer, updates[^1].PartialResponse);
        Assert.Equal(answer, string.Concat(updates.Select(update => update.NewText)));
        Assert.True(updates[^1].TokensGenerated > 0);
    }

    [HostFact]
    public async Task A_handler_that_keeps_up_sees_the_answer_grow_token_by_token()
    {
        // On a machine that is busy with other things not each token comes alone, and now and then hardly one does; but the
        // answer must not come in a few lumps each time.
        const int Tokens = 100, Attempts = 20;
        using LongAnswer longAnswer = new();
        using LlamaCppStreamingClient client = await ConnectAsync(Options([.. longAnswer.Arguments, "-n", $"{Tokens}", "--rate", "100"]));
        int updates = 0;
        int tokens = 0;
        client.OnStreamUpdate += (_, e) =>
        {
            updates++;
            tokens = e.TokensGenerated;
        };
        for (int attempt = 0; attempt < Attempts && updates <= Tokens / 16; attempt++)
        {
            updates = 0;
            await Blocking(() => client.SendStreamingRequest(Question));
            Assert.Equal(Tokens, tokens);
        }
        Assert.True(updates > Tokens / 16, $"{updates} updates for {tokens} tokens");
    }

    [HostFact]
    public async Task Few_updates_a_second_have_the_whole_answer_too()
    {
        const int UpdatesPerSecond = 3;
        using LlamaCppStreamingClient client = await ConnectAsync(
            Options("--ignore-eos", "-n", "1000") with { UpdatesPerSecond = UpdatesPerSecond });
        List<StreamUpdateEventArgs> updates = [];
        client.OnStreamUpdate += (_, e) => updates.Add(e);
        Stopwatch time = Stopwatch.StartNew();
        string answer = await Blocking(() => client.SendStreamingRequest(Question));
        Assert.InRange(updates.Count, 1, 2 + (UpdatesPerSecond * time.Elapsed.TotalSeconds));
        Assert.True(updates[^1].IsComplete);
        Assert.Equal(answer, string.Concat(updates.Select(update => update.NewText)));
    }

    [HostFact]
    public async Task Both_modes_and_the_stream_of_pieces_give_the_same_answer()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        foreach (string question in (string[])[Question, "Explain pointers.", "Wie geht es dir? äöü 漢字 🎉"])
        {
            string whole = await client.SendRequestAsync(question);
            Assert.DoesNotContain('\uFFFD', whole);
            Assert.Equal(whole, await client.SendStreamingRequestAsync(question));
            StringBuilder pieces = new();
            await foreach (string piece in client.StreamAsync(question))
            {
                Assert.NotEqual("", piece);
                pieces.Append(piece);
            }
            Assert.Equal(whole, pieces.ToString());
        }
    }

    [HostFact]
    public async Task Text_always_consists_of_whole_characters()
    {
        // Drawn evenly from the whole vocabulary, so that tokens with parts of characters come up too. What has been
        // shown once must stay: half a character would be replaced by the next update. (Bytes that are no text at all
        // are U+FFFD for good.)
        using LlamaCppStreamingClient client = await ConnectAsync(
            Options("--temp", "50", "--top-k", "0", "--min-p", "0", "--top-p", "1", "--ignore-eos", "-n", "400", "-s", "7"));
        string text = "";
        client.OnStreamUpdate += (_, e) =>
        {
            Assert.StartsWith(text, e.PartialResponse, StringComparison.Ordinal);
            text = e.PartialResponse;
        };
        string answer = await Blocking(() => client.SendStreamingRequest(Question));
        Assert.Equal(answer, text);
    }

    [HostFact]
    public async Task An_empty_prompt_gets_an_empty_answer_at_once()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        int completions = 0;
        client.OnStreamUpdate += (_, e) => completions += e.IsComplete ? 1 : 0;
        Assert.Equal("", await Blocking(() => client.SendRequest("")));
        Assert.Equal("", await Blocking(() => client.SendStreamingRequest("")));
        Assert.Equal(1, completions);
        await foreach (string piece in client.StreamAsync(""))
        {
            Assert.Fail($"an unexpected piece: {piece}");
        }
        Assert.NotEqual("", await client.SendRequestAsync(Question));
    }

    [HostFact]
    public async Task A_prompt_that_the_guides_channel_has_no_room_for_reaches_the_model_whole()
    {
        LlamaCppClientOptions options = Options("-n", "40", "-c", "8192");
        using LlamaCppStreamingClient client = await ConnectAsync(options);
        await using LlamaClient modern = await LlamaClient.ConnectAsync(
            new LlamaClientOptions { InstanceName = options.InstanceName, Start = HostStart.Never });
        foreach (string system in (string[])["", LongText("You are a helpful tutor. ")])
        {
            LlamaMessage question = LlamaMessage.User(LongQuestion);
            LlamaRequest request = system.Length > 0 ? new(LlamaMessage.System(system), question) : new(question);
            string expected = await modern.AskAsync(request with { MaxTokens = 40 });
            Assert.NotEqual("", expected);
            Assert.Equal(expected, await client.SendRequestAsync(LongQuestion, system));

            StringBuilder pieces = new();
            int completions = 0;
            void See(object? sender, StreamUpdateEventArgs e)
            {
                pieces.Append(e.NewText);
                completions += e.IsComplete ? 1 : 0;
                Assert.Equal(pieces.ToString(), e.PartialResponse);
                Assert.False(e.PromptWasCut);
            }
            client.OnStreamUpdate += See;
            Assert.Equal(expected, await Blocking(() => client.SendStreamingRequest(LongQuestion, system)));
            client.OnStreamUpdate -= See;
            Assert.Equal(expected, pieces.ToString());
            Assert.Equal(1, completions);
            Assert.False(client.LastPromptWasCut);
        }
    }

    [HostFact]
    public async Task A_long_prompt_s_answer_can_be_cancelled_and_ends_with_its_host()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos", "--context-shift", "-c", "8192"));
        using CancellationTokenSource cancel = new();
        Action onUpdate = cancel.Cancel;
        client.OnStreamUpdate += (_, _) => onUpdate();
        RequestCanceledException cancelled = await Assert.ThrowsAsync<RequestCanceledException>(
            () => client.SendStreamingRequestAsync(LongQuestion, "", cancel.Token));
        Assert.NotEqual("", cancelled.PartialResponse);
        onUpdate = () => throw new FormatException("the handler's own");
        await Assert.ThrowsAsync<FormatException>(() => client.SendStreamingRequestAsync(LongQuestion));
        onUpdate = () => Signal(client.HostProcessId, SigKill);
        HostGoneException gone = await Assert.ThrowsAsync<HostGoneException>(() => client.SendStreamingRequestAsync(LongQuestion));
        Assert.Equal(137, gone.HostExitCode);
        Assert.NotEqual("", gone.PartialResponse);
    }

    [HostFact]
    public async Task Where_there_is_only_the_guides_channel_a_long_prompt_is_cut_at_a_whole_character()
    {
        LlamaCppClientOptions options = Options("-n", "8", "-c", "8192");
        using LlamaCppStreamingClient client = await ConnectAsync(options);
        await client.SendRequestAsync(Question);
        Assert.False(client.LastPromptWasCut);
        using HostIsFull full = await HostIsFull.FillAsync(options.InstanceName!);

        // 1,023 times 4 bytes are 4,092; the next character would end at byte 4,096.
        string cutOff = string.Concat(Enumerable.Repeat("🎉", 3000));
        string fitting = string.Concat(Enumerable.Repeat("🎉", 1023));
        bool? seen = null;
        client.OnStreamUpdate += (_, e) => seen = e.PromptWasCut;
        string answer = await client.SendStreamingRequestAsync(cutOff);
        Assert.True(seen);
        Assert.True(client.LastPromptWasCut);
        Assert.Equal(answer, await client.SendRequestAsync(fitting));
        Assert.False(client.LastPromptWasCut);
    }

    [HostFact]
    public async Task A_prompt_that_outgrows_the_context_does_not_hang_the_client()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        string expected = await client.SendRequestAsync(Question);
        await Assert.ThrowsAsync<RequestRefusedException>(() => client.SendRequestAsync(new string('x', 100_000)));
        Assert.Equal(expected, await client.SendRequestAsync(Question));
    }

    [HostFact]
    public async Task Half_a_surrogate_pair_is_replaced_and_a_zero_character_refused()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("-n", "4"));
        await client.SendRequestAsync("cut here: \uD83C");
        await Assert.ThrowsAsync<ArgumentException>(() => client.SendRequestAsync("a\0b"));
        await Assert.ThrowsAsync<ArgumentNullException>(() => client.SendRequestAsync(null!));
        await client.SendRequestAsync(Question);
    }

    [HostFact]
    public async Task Requests_of_many_threads_are_served_one_after_the_other()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("-n", "16"));
        string expected = await client.SendRequestAsync(Question);
        Task<string>[] requests =
        [
            .. Enumerable.Range(0, 8).Select(i => i % 2 == 0
                ? Blocking(() => client.SendStreamingRequest(Question))
                : client.SendRequestAsync(Question)),
        ];
        Assert.All(await Task.WhenAll(requests), answer => Assert.Equal(expected, answer));
    }

    [HostFact]
    public async Task A_slow_handler_sees_fewer_updates_and_the_whole_text()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos", "-n", "100"));
        string expected = await client.SendRequestAsync(Question);
        using ManualResetEventSlim never = new();
        StringBuilder pieces = new();
        client.OnStreamUpdate += (_, e) =>
        {
            never.Wait(10); // a handler that takes its time
            pieces.Append(e.NewText);
        };
        Assert.Equal(expected, await Blocking(() => client.SendStreamingRequest(Question)));
        Assert.Equal(expected, pieces.ToString());
    }

    [HostFact]
    public async Task The_host_says_on_its_output_whether_streaming_is_enabled()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("-n", "4"));
        await client.SendStreamingRequestAsync(Question);
        await EventuallyAsync(
            () => client.HostOutputLines.Contains("Stream Mode: Enabled")
                && client.HostOutputLines.Contains("Processing with streaming..."),
            "the streaming lines");
        Assert.DoesNotContain("Stream Mode: Disabled", client.HostOutputLines);

        await client.SendRequestAsync(Question);
        await EventuallyAsync(
            () => client.HostOutputLines.Contains("Stream Mode: Disabled") && client.HostOutputLines.Contains("Processing..."),
            "the normal lines");
        Assert.NotEmpty(client.HostErrorLines);
    }

    [HostFact]
    public async Task The_objects_have_the_names_of_the_guide_and_go_with_the_host()
    {
        LlamaCppClientOptions options = Options();
        string name = options.InstanceName!;
        using (await ConnectAsync(options))
        {
            string[] expected =
            [
                .. ((string[])[
                    name + "_shared_mem",
                    "sem." + name + "_sem_ready",
                    "sem." + name + "_sem_prompts_written",
                    "sem." + name + "_sem_response_written",
                    "sem." + name + "_sem_chunk_ready",
                ]).Select(file => "/dev/shm/" + file).Order(),
            ];
            Assert.Equal(expected, ObjectsOf(name));
            Assert.True(new FileInfo("/dev/shm/" + name + "_shared_mem").Length >= 45_000);
            Assert.All(expected, path =>
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path)));
        }
        Assert.Empty(ObjectsOf(name));
    }

    [HostFact]
    public async Task A_request_that_takes_too_long_times_out_and_the_next_is_served()
    {
        LlamaCppClientOptions options = Options() with { RequestTimeout = TimeSpan.FromMilliseconds(200) };
        using LlamaCppStreamingClient client = await ConnectAsync(options);
        Pause(client.HostProcessId);
        HostTimeoutException e = await Assert.ThrowsAsync<HostTimeoutException>(() => client.SendRequestAsync(Question));
        Assert.Equal(LipcError.Timeout, e.Error);
        Resume(client.HostProcessId);

        // Host and machine may need more than the short time-out now; what counts is that both are served again.
        await EventuallyAsync(
            () =>
            {
                try
                {
                    return client.SendRequest("").Length == 0;
                }
                catch (HostTimeoutException)
                {
                    return false;
                }
            },
            "the host serves again");
        using LlamaCppStreamingClient patient = await ConnectAsync(
            Options() with { InstanceName = options.InstanceName, AttachToRunningHost = HostAttachMode.Attach });
        Assert.NotEqual("", await patient.SendRequestAsync(Question));
    }

    private static string LongQuestion => LongText("What is C++? ");

    private static string LongText(string sentence) => string.Concat(Enumerable.Repeat(sentence, 1 + (4095 / sentence.Length)));

    /// <summary>Clients, as many as a host has room for.</summary>
    private sealed class HostIsFull(List<LlamaClient> clients) : IDisposable
    {
        internal static async Task<HostIsFull> FillAsync(string name)
        {
            List<LlamaClient> clients = [];
            try
            {
                while (true)
                {
                    clients.Add(await LlamaClient.ConnectAsync(new() { InstanceName = name, Start = HostStart.Never }));
                }
            }
            catch (HostFullException)
            {
                return new HostIsFull(clients);
            }
        }

        public void Dispose() => clients.ForEach(client => client.Dispose());
    }
}
