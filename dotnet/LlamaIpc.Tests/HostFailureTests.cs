// Hosts that cannot start, hang, chatter, or die: quick, typed exceptions with the host's own last words.
using System.Diagnostics;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class HostFailureTests
{
    private const string Question = "What is C++?";

    /// <summary>For a program that only sleeps; other runs of these tests have another number.</summary>
    private static readonly string Seconds = $"1000.{Environment.ProcessId}";

    [HostFact]
    public async Task A_missing_model_is_reported_at_once_with_exit_code_and_message()
    {
        using LlamaCppStreamingClient client = new();
        LlamaCppClientOptions options = Options() with { ModelPath = "/nowhere/missing.gguf" };
        Stopwatch watch = Stopwatch.StartNew();
        ModelNotFoundException e = await Assert.ThrowsAsync<ModelNotFoundException>(() => client.InitializeAsync(options));
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"it took {watch.Elapsed}");
        Assert.Equal(3, e.HostExitCode);
        Assert.Contains(e.HostErrorLines, line => line.Contains("/nowhere/missing.gguf", StringComparison.Ordinal));
        Assert.Contains("/nowhere/missing.gguf", e.Message, StringComparison.Ordinal);
        Assert.Contains("missing or unreadable", e.Message, StringComparison.Ordinal);

        // The client can be used afterwards.
        await client.InitializeAsync(Options());
        Assert.NotEqual("", await client.SendRequestAsync(Question));
    }

    [HostFact]
    public async Task A_wrong_option_and_a_file_that_is_no_model_have_their_exit_codes()
    {
        HostStartException usage = await Assert.ThrowsAsync<HostStartException>(() => ConnectAsync(Options("--no-such-option")));
        Assert.Equal(2, usage.HostExitCode);
        Assert.Contains("--no-such-option", usage.Message, StringComparison.Ordinal);

        using TemporaryFolder folder = Script("model.gguf", "this is no model", out string path);
        HostStartException noModel =
            await Assert.ThrowsAsync<HostStartException>(() => ConnectAsync(Options() with { ModelPath = path }));
        Assert.Equal(4, noModel.HostExitCode);
    }

    [HostFact]
    public async Task A_name_that_a_running_host_owns_is_refused_and_the_owner_named()
    {
        LlamaCppClientOptions options = Options();
        using LlamaCppStreamingClient owner = await ConnectAsync(options);
        HostStartException e = await Assert.ThrowsAsync<HostStartException>(
            () => ConnectAsync(options with { AttachToRunningHost = HostAttachMode.Start }));
        Assert.Equal(7, e.HostExitCode);
        Assert.Contains($"{owner.HostProcessId}", e.Message, StringComparison.Ordinal);
        Assert.NotEqual("", await owner.SendRequestAsync(Question));
    }

    [LimitedFact]
    public async Task A_program_that_is_not_there_or_cannot_run_is_reported()
    {
        HostProgramNotFoundException missing = await Assert.ThrowsAsync<HostProgramNotFoundException>(
            () => ConnectAsync(Options() with { ExecutablePath = "./no/such/chatbot" }));
        Assert.Contains("./no/such/chatbot", missing.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<HostProgramNotFoundException>(
            () => ConnectAsync(Options() with { ExecutablePath = "no-such-chatbot" }));

        using TemporaryFolder folder = Script("chatbot", "", out string path);
        File.SetUnixFileMode(path, UnixFileMode.UserRead);
        HostStartException refused =
            await Assert.ThrowsAsync<HostStartException>(() => ConnectAsync(Options() with { ExecutablePath = path }));
        Assert.NotNull(refused.InnerException);
    }

    [LimitedFact]
    public async Task A_name_that_is_not_valid_is_refused()
    {
        RequestInvalidException e = await Assert.ThrowsAsync<RequestInvalidException>(
            () => ConnectAsync(Options() with { InstanceName = "not/a name" }));
        Assert.Equal(LipcError.Invalid, e.Error);
        Assert.Contains("not/a name", e.Message, StringComparison.Ordinal);
    }

    [LimitedFact]
    public async Task A_program_that_prints_much_and_ends_is_drained_and_its_last_lines_kept()
    {
        using TemporaryFolder folder = Script(
            "chatbot",
            "i=0; while [ $i -lt 20000 ]; do echo \"line $i of very many lines of output\" >&2; echo out; i=$((i+1)); done; exit 6",
            out string path);
        HostStartException e =
            await Assert.ThrowsAsync<HostStartException>(() => ConnectAsync(Options() with { ExecutablePath = path }));
        Assert.Equal(6, e.HostExitCode);
        Assert.Equal(LineTail.MaxLines, e.HostErrorLines.Count);
        Assert.Equal("line 19999 of very many lines of output", e.HostErrorLines[^1]);
    }

    [LimitedFact]
    public async Task A_program_that_never_becomes_a_host_times_out_and_is_ended()
    {
        using TemporaryFolder folder = Script("chatbot", $"echo waiting >&2; exec sleep {Seconds}", out string path);
        LlamaCppClientOptions options = Options() with
        {
            ExecutablePath = path,
            ConnectTimeout = TimeSpan.FromMilliseconds(300),
        };
        await Assert.ThrowsAnyAsync<LlamaIpcException>(() => ConnectAsync(options));
        Assert.Empty(HostsWith(path));
        Assert.Empty(HostsWith("sleep\0" + Seconds));
    }

    [LimitedFact]
    public async Task Waiting_for_a_host_can_be_cancelled_and_ends_with_the_client()
    {
        using TemporaryFolder folder = Script("chatbot", $"exec sleep {Seconds}", out string path);
        LlamaCppClientOptions options = Options() with { ExecutablePath = path, ConnectTimeout = Timeout.InfiniteTimeSpan };

        using LlamaCppStreamingClient client = new();
        using CancellationTokenSource cancel = new();
        Task connecting = client.InitializeAsync(options, cancel.Token);
        await EventuallyAsync(() => HostsWith("sleep\0" + Seconds).Length == 1, "the program runs");
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting);
        await EventuallyAsync(() => HostsWith("sleep\0" + Seconds).Length == 0, "the program has been ended");

        connecting = Blocking(() => client.Initialize(options));
        await EventuallyAsync(() => HostsWith("sleep\0" + Seconds).Length == 1, "the program runs again");
        client.Dispose();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting);
        await EventuallyAsync(() => HostsWith("sleep\0" + Seconds).Length == 0, "the program has been ended again");
    }

    [HostFact]
    public async Task A_script_around_the_host_works()
    {
        using TemporaryFolder folder = Script("chatbot", $"'{HostPath}' \"$@\"\nexit $?", out string path);
        int host;
        using (LlamaCppStreamingClient client = await ConnectAsync(Options() with { ExecutablePath = path }))
        {
            host = client.HostProcessId;
            Assert.NotEqual("", await client.SendRequestAsync(Question));
        }
        await EventuallyAsync(() => !IsAlive(host), "the host has ended");
    }

    [HostFact]
    public async Task A_host_that_is_killed_while_it_streams_is_noticed_quickly()
    {
        using LongAnswer longAnswer = new();
        LlamaCppClientOptions options = Options(longAnswer.Arguments);
        foreach (bool blocking in (bool[])[true, false])
        {
            using LlamaCppStreamingClient client = await ConnectAsync(options);
            int host = client.HostProcessId;
            Stopwatch? sinceDeath = null;
            client.OnStreamUpdate += (_, e) =>
            {
                if (sinceDeath is null && e.TokensGenerated >= 3)
                {
                    Signal(host, SigKill);
                    sinceDeath = Stopwatch.StartNew();
                }
            };
            HostGoneException e = await Assert.ThrowsAsync<HostGoneException>(() => blocking
                ? Blocking(() => client.SendStreamingRequest(Question))
                : client.SendStreamingRequestAsync(Question));
            Assert.True(sinceDeath!.Elapsed < TimeSpan.FromSeconds(60), $"it took {sinceDeath.Elapsed}");
            Assert.Equal(LipcError.HostGone, e.Error);
            Assert.Equal(137, e.HostExitCode);
            Assert.Contains("SIGKILL", e.Message, StringComparison.Ordinal);
            Assert.NotEmpty(e.HostErrorLines);
            Assert.NotEqual("", e.PartialResponse);
            Assert.True(e.TokensGenerated >= 3);
            await Assert.ThrowsAsync<HostGoneException>(() => client.SendRequestAsync(Question));

            // What the dead host left is taken over by the next.
            await client.InitializeAsync(options);
            Assert.NotEqual(host, client.HostProcessId);
            Assert.Equal("", await client.SendRequestAsync(""));
        }
        Assert.Empty(ObjectsOf(options.InstanceName!));
    }

    [HostFact]
    public async Task A_host_that_is_killed_ends_a_stream_of_pieces()
    {
        using LongAnswer longAnswer = new();
        using LlamaCppStreamingClient client = await ConnectAsync(Options(longAnswer.Arguments));
        await Assert.ThrowsAsync<HostGoneException>(async () =>
        {
            int pieces = 0;
            await foreach (string _ in client.StreamAsync(Question))
            {
                if (pieces++ == 0)
                {
                    Signal(client.HostProcessId, SigKill);
                }
            }
        });
    }

    [HostFact]
    public async Task A_host_that_hangs_does_not_hang_disposal()
    {
        LlamaCppStreamingClient client = await ConnectAsync();
        int host = client.HostProcessId;
        Pause(host);
        Stopwatch watch = Stopwatch.StartNew();
        await Blocking(client.Dispose);
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"it took {watch.Elapsed}");
        Assert.False(IsAlive(host));
    }
}
