// LlamaClient: finding, starting, waiting for and leaving a host.
using System.Runtime.CompilerServices;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class ClientTests
{
    private const string Question = "What is C++?";

    [HostFact]
    public async Task A_host_is_started_and_ends_with_the_client()
    {
        LlamaClientOptions options = ModernOptions();
        LlamaClient client = await LlamaClient.ConnectAsync(options);
        LlamaHostStatus status = client.Status;
        Assert.Equal(LlamaHostState.Ready, status.State);
        Assert.Equal(1.0, status.LoadProgress);
        Assert.True(IsAlive(status.ProcessId));
        Assert.NotEqual("", status.Model);
        Assert.Equal(LlamaClient.NativeLibraryVersion, status.HostVersion);
        await EventuallyAsync(() => client.Status.Clients == 1, "the host has counted its client");
        Assert.True(status is { ContextTokens: > 0, VocabularyTokens: > 0, Parameters: > 0 });
        Assert.True(status is { RequestBytes: > 0, ResponseBytes: > 0 });

        await client.DisposeAsync();
        await EventuallyAsync(() => !IsAlive(status.ProcessId), "the host has ended");
        Assert.Empty(ObjectsOf(options.InstanceName!));
        await client.DisposeAsync();
        client.Dispose();
        Assert.Throws<ObjectDisposedException>(() => client.Status);
        Assert.Throws<ObjectDisposedException>(() => client.OpenStream(Question));
        Assert.Throws<ObjectDisposedException>(() => client.Attach(new string('0', 32)));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.AskAsync(Question));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.WaitReadyAsync());
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.ShutdownAsync());
    }

    [HostFact]
    public async Task Loading_shows_its_progress()
    {
        Reports reports = new();
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions(), reports);
        Assert.Equal(LlamaHostState.Ready, reports.All[^1].State);
        Assert.Equal(1.0, reports.All[^1].LoadProgress);
        Assert.Equal(reports.All.OrderBy(status => status.State).ThenBy(status => status.LoadProgress), reports.All);
        Assert.DoesNotContain(reports.Threads, name => name?.StartsWith("LlamaIpc", StringComparison.Ordinal) == true);
    }

    [HostFact]
    public async Task Requests_can_be_sent_before_the_model_is_loaded()
    {
        LlamaClientOptions options = ModernOptions() with { WaitUntilReady = false };
        await using LlamaClient client = await LlamaClient.ConnectAsync(options);
        Task<string> answer = client.AskAsync(Question);
        await Task.WhenAll(client.WaitReadyAsync(), client.WaitReadyAsync());
        Assert.Equal(LlamaHostState.Ready, client.Status.State);
        Assert.NotEqual("", await answer);
    }

    [HostFact]
    public async Task Streams_that_join_and_leave_do_not_end_a_wait_for_the_host()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(10_000), rate: 100);
        LlamaClient client = replay.Client;
        using LlamaStream running = client.OpenStream(Question);
        await EventuallyAsync(() => running.Progress.Tokens > 0, "the answer that holds up the host's end has begun");
        Task shutdown = client.ShutdownAsync();
        using LlamaStream other = client.Attach(running.Id, readOnly: true);
        for (int i = 0; i < 20; i++)
        {
            using CancellationTokenSource cancel = new(5);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ReadAllAsync(other, cancel.Token));
        }
        Assert.False(shutdown.IsCompleted);
        running.Cancel();
        await shutdown;
    }

    [LimitedFact]
    public async Task Never_starting_a_host_fails_where_none_runs() =>
        await Assert.ThrowsAsync<HostNotFoundException>(
            () => LlamaClient.ConnectAsync(ModernOptions() with { Start = HostStart.Never, AttachTimeout = TimeSpan.Zero }));

    [HostFact]
    public async Task A_detached_host_stays_until_it_is_told_to_end()
    {
        LlamaClientOptions options = ModernOptions() with { Start = HostStart.Detached };
        int host;
        await using (LlamaClient first = await LlamaClient.ConnectAsync(options))
        {
            host = first.Status.ProcessId;
        }
        Assert.True(IsAlive(host));

        await using LlamaClient second = await LlamaClient.ConnectAsync(options with { Start = HostStart.Never });
        await using LlamaClient third = await LlamaClient.ConnectAsync(options with { Start = HostStart.WithMe });
        Assert.Equal(host, second.Status.ProcessId);
        Assert.Equal(host, third.Status.ProcessId);
        Assert.Equal(await second.AskAsync(Question), await third.AskAsync(Question));
        await second.ShutdownAsync();
        Assert.False(IsAlive(host));
        Assert.Equal(LlamaHostState.Gone, second.Status.State);
        await third.ShutdownAsync();
        await Assert.ThrowsAsync<HostGoneException>(() => third.AskAsync(Question));
        Assert.Empty(ObjectsOf(options.InstanceName!));
    }

    [HostFact]
    public async Task A_host_that_was_attached_to_outlives_its_guests()
    {
        LlamaClientOptions options = ModernOptions();
        await using LlamaClient owner = await LlamaClient.ConnectAsync(options);
        int host = owner.Status.ProcessId;
        await using (LlamaClient guest = await LlamaClient.ConnectAsync(options))
        {
            Assert.Equal(host, guest.Status.ProcessId);
        }
        Assert.NotEqual("", await owner.AskAsync(Question));
    }

    [HostFact]
    public async Task A_host_that_cannot_load_its_model_is_reported_with_its_reason()
    {
        LlamaClientOptions options = ModernOptions("-m", "/no/such/model.gguf");
        HostStartException e = await Assert.ThrowsAsync<HostStartException>(() => LlamaClient.ConnectAsync(options));
        Assert.Contains("/no/such/model.gguf", e.Message, StringComparison.Ordinal);
        Assert.Empty(ObjectsOf(options.InstanceName!));
    }

    [LimitedFact]
    public async Task A_host_program_that_is_missing_is_reported_by_its_path()
    {
        HostProgramNotFoundException e = await Assert.ThrowsAsync<HostProgramNotFoundException>(
            () => LlamaClient.ConnectAsync(ModernOptions() with { HostPath = "/no/such/chatbot" }));
        Assert.Contains("/no/such/chatbot", e.Message, StringComparison.Ordinal);

        // A name that could be anywhere: the message says where it was looked for.
        e = await Assert.ThrowsAsync<HostProgramNotFoundException>(
            () => LlamaClient.ConnectAsync(ModernOptions() with { HostPath = "no-such-chatbot" }));
        Assert.Contains(Environment.CurrentDirectory, e.Message, StringComparison.Ordinal);
        Assert.Contains("LlamaIpc.Host", e.Message, StringComparison.Ordinal);
    }

    [HostFact]
    public async Task Another_model_than_was_asked_for_never_answers_in_silence()
    {
        string tutor = Path.Combine(Root, "models", "tutor.gguf");
        using TemporaryFolder folder = new();
        string copy = Path.Combine(folder.Path, "copy.gguf");
        File.Copy(tutor, copy);
        LlamaClientOptions options = ModernOptions() with { ModelPath = tutor };
        await using LlamaClient first = await LlamaClient.ConnectAsync(options);
        Assert.Equal(tutor, first.Status.ModelPath);
        await using (LlamaClient same = await LlamaClient.ConnectAsync(options))
        {
            Assert.Equal(first.Status.ProcessId, same.Status.ProcessId);
        }
        OtherModelException e = await Assert.ThrowsAsync<OtherModelException>(
            () => LlamaClient.ConnectAsync(options with { ModelPath = copy }));
        Assert.Contains("tutor.gguf", e.Message, StringComparison.Ordinal);
        Assert.Contains(copy, e.Message, StringComparison.Ordinal);
        await using (LlamaClient any = await LlamaClient.ConnectAsync(
            options with { ModelPath = copy, OtherModel = OtherModel.Accept }))
        {
            Assert.Equal(tutor, any.Status.ModelPath);
        }
        await using LlamaClient changed = await LlamaClient.ConnectAsync(
            options with { ModelPath = copy, OtherModel = OtherModel.Load });
        Assert.Equal(copy, first.Status.ModelPath);
    }

    [HostFact]
    public async Task A_model_that_is_missing_is_an_exception_of_its_own()
    {
        LlamaClientOptions options = ModernOptions() with { ModelPath = "no-such-model.gguf" };
        ModelNotFoundException e = await Assert.ThrowsAsync<ModelNotFoundException>(
            () => LlamaClient.ConnectAsync(options));
        Assert.Contains(Path.GetFullPath("no-such-model.gguf"), e.Message, StringComparison.Ordinal);
        Assert.Empty(ObjectsOf(options.InstanceName!));
    }

    [HostFact]
    public async Task Connecting_can_be_cancelled_and_leaves_nothing()
    {
        LlamaClientOptions options = ModernOptions();
        using TemporaryFolder folder = Script(
            "chatbot", $"while [ ! -e \"$0.go\" ]; do sleep 0.1; done; exec '{HostPath}' \"$@\"", out string path);
        using CancellationTokenSource cancel = new();
        Task<LlamaClient> connecting =
            LlamaClient.ConnectAsync(options with { HostPath = path }, cancellationToken: cancel.Token);
        await EventuallyAsync(() => HostsWith(options.InstanceName!).Length > 0, "the program has been started");
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting);
        await File.WriteAllTextAsync(path + ".go", ""); // now it becomes a host, whose client has left
        await EventuallyAsync(
            () => HostsWith(options.InstanceName!).Length == 0 && ObjectsOf(options.InstanceName!).Length == 0,
            "the host of the cancelled client has ended");
    }

    [HostFact]
    public async Task Waiting_for_the_model_can_be_cancelled()
    {
        LlamaClientOptions options = ModernOptions();
        await using LlamaClient client = await LlamaClient.ConnectAsync(options with { WaitUntilReady = false });
        using CancellationTokenSource cancel = new();
        await cancel.CancelAsync();
        OperationCanceledException e =
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.WaitReadyAsync(null, cancel.Token));
        Assert.Equal(cancel.Token, e.CancellationToken);
        await client.WaitReadyAsync();
    }

    [HostFact]
    public async Task What_a_progress_handler_throws_comes_out_and_leaves_no_host()
    {
        LlamaClientOptions options = ModernOptions();
        await Assert.ThrowsAsync<FormatException>(
            () => LlamaClient.ConnectAsync(options, new Reports { Thrown = new FormatException() }));
        await EventuallyAsync(() => HostsWith(options.InstanceName!).Length == 0, "the host has ended");
    }

    [LimitedFact]
    public async Task Options_that_make_no_sense_are_refused()
    {
        LlamaClientOptions[] wrong =
        [
            new() { HostPath = "" },
            new() { HostArguments = null! },
            new() { HostArguments = [null!] },
            new() { HostArguments = ["a\0b"] },
            new() { InstanceName = "a\0b" },
            new() { Start = (HostStart)9 },
            new() { AttachTimeout = TimeSpan.FromSeconds(-5) },
            new() { WakesPerSecond = -1 },
        ];
        foreach (LlamaClientOptions options in wrong)
        {
            await Assert.ThrowsAnyAsync<ArgumentException>(() => LlamaClient.ConnectAsync(options));
        }
        RequestInvalidException e = await Assert.ThrowsAsync<RequestInvalidException>(
            () => LlamaClient.ConnectAsync(ModernOptions() with { InstanceName = "not/valid" }));
        Assert.Equal(LipcError.Invalid, e.Error);
    }

    [HostFact]
    public async Task A_forgotten_client_leaves_no_host_and_no_thread()
    {
        LlamaClientOptions options = ModernOptions();
        await UseAndForgetAsync(options);
        await EventuallyAsync(
            () =>
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
                return HostsWith(options.InstanceName!).Length == 0 && WaiterThreads() == 0;
            },
            "the host and the thread of the forgotten client have ended");
    }

    [HostFact]
    public async Task Many_clients_one_after_the_other_leave_nothing_behind()
    {
        LlamaClientOptions options = ModernOptions();
        await using LlamaClient owner = await LlamaClient.ConnectAsync(options);
        await LeaveAsync(options);
        // The thread of a client that was disposed of is the last to hold what the client had open.
        await EventuallyAsync(() => WaiterThreads() == 0, "the first has left");
        string[] before = OpenFiles();
        for (int i = 0; i < 100; i++)
        {
            await LeaveAsync(options);
        }
        await EventuallyAsync(() => OpenFiles().Length <= before.Length, "as many files are open as before");
        await EventuallyAsync(() => owner.Status.Clients == 1 && WaiterThreads() == 0, "all of them have left");
    }

    [HostFact]
    public async Task Both_channels_give_the_same_answer()
    {
        LlamaClientOptions options = ModernOptions();
        await using LlamaClient modern = await LlamaClient.ConnectAsync(options);
        using LlamaCppStreamingClient classic = await ConnectAsync(
            Options() with { InstanceName = options.InstanceName, AttachToRunningHost = HostAttachMode.Attach });
        Task<string> one = classic.SendRequestAsync(Question, "You are a helpful tutor");
        Task<string> other = modern.AskAsync(
            new LlamaRequest(LlamaMessage.System("You are a helpful tutor"), LlamaMessage.User(Question)));
        Assert.Equal(await one, await other);
    }

    private static async Task ReadAllAsync(LlamaStream stream, CancellationToken cancellationToken)
    {
        await foreach (string _ in stream.ReadAllAsync(cancellationToken))
        {
        }
    }

    private static async Task LeaveAsync(LlamaClientOptions options)
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(options);
        Assert.NotEqual("", await client.AskAsync(new LlamaRequest(Question) { MaxTokens = 3 }));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task UseAndForgetAsync(LlamaClientOptions options)
    {
        LlamaClient client = await LlamaClient.ConnectAsync(options);
        Assert.NotEqual("", await client.AskAsync(Question));
        Assert.NotEqual(0, WaiterThreads());
        GC.KeepAlive(client);
    }

    private sealed class Reports : IProgress<LlamaHostStatus>
    {
        internal List<LlamaHostStatus> All { get; } = [];

        internal List<string?> Threads { get; } = [];

        internal Exception? Thrown { get; init; }

        public void Report(LlamaHostStatus value)
        {
            All.Add(value);
            Threads.Add(Thread.CurrentThread.Name);
            if (Thrown != null)
            {
                throw Thrown;
            }
        }
    }
}
