// The same death again and again: what a loop sees of it, and what disposing leaves. Short here; LIPC_KILLS says how often,
// 100 in the long form.
using System.Globalization;
using System.Text;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class RepeatedKillTests
{
    private const string Question = "What is C++?";
    private const int ShortForm = 5;

    private static int Kills { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("LIPC_KILLS"), NumberStyles.None, CultureInfo.InvariantCulture, out int kills)
            ? kills
            : ShortForm;

    /// <summary>Enough words that there is text left for each kill, also where a busy machine makes few pieces of them.</summary>
    private static string Text => Replay.Words(120 * Kills);

    [HostFact]
    public async Task A_loop_goes_on_however_often_the_worker_is_killed()
    {
        await using Replay replay = await Replay.StartAsync(Text, rate: 200);
        int host = replay.Client.Status.ProcessId;
        Killing killing = new(() => WorkerOf(host));
        await foreach (string piece in replay.Client.StreamAsync(Question))
        {
            killing.See(piece);
        }
        Assert.Equal(replay.Text, killing.Text);
        Assert.Equal(Kills, killing.Done);
        Assert.Equal(host, replay.Client.Status.ProcessId);
    }

    [HostFact]
    public async Task A_loop_over_a_connection_goes_on_however_often_the_host_is_killed()
    {
        await using Replay replay = await Replay.StartAsync(Text, rate: 200);
        string name = NewName();
        await using (LlamaConnection connection = new(replay.Options with { InstanceName = name }))
        {
            Killing killing = new(() => connection.Current?.Status.ProcessId ?? 0);
            await foreach (string piece in connection.StreamAsync(new LlamaRequest(Question)))
            {
                killing.See(piece);
            }
            Assert.Equal(replay.Text, killing.Text);
            Assert.Equal(Kills, killing.Done);
        }
        Assert.Empty(ObjectsOf(name));
    }

    [HostFact]
    public async Task Loops_that_share_a_connection_all_go_on_also_one_that_is_slow_to_notice()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(200), rate: 200);
        string name = NewName();
        await using (LlamaConnection connection = new(replay.Options with { InstanceName = name }))
        {
            TaskCompletionSource slowHasBegun = new(), fastHasGoneOn = new();
            async Task<string> ReadSlowlyAsync()
            {
                StringBuilder text = new();
                await foreach (string piece in connection.StreamAsync(new LlamaRequest(Question)))
                {
                    text.Append(piece);
                    slowHasBegun.TrySetResult();
                    await fastHasGoneOn.Task;
                }
                return text.ToString();
            }
            Task<string> slow = ReadSlowlyAsync();
            await slowHasBegun.Task;
            StringBuilder fast = new();
            int killed = 0;
            await foreach (string piece in connection.StreamAsync(new LlamaRequest(Question)))
            {
                fast.Append(piece);
                int host = connection.Current?.Status.ProcessId ?? 0;
                if (killed == 0)
                {
                    Signal(killed = host, SigKill);
                }
                else if (host != killed && host != 0)
                {
                    fastHasGoneOn.TrySetResult(); // the other one's client has been closed by now
                }
            }
            fastHasGoneOn.TrySetResult();
            Assert.Equal(replay.Text, fast.ToString());
            Assert.Equal(replay.Text, await slow);
        }
        Assert.Empty(ObjectsOf(name));
    }

    [HostFact]
    public async Task What_was_cancelled_or_refused_does_not_go_on()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(1000), rate: 100);
        await using LlamaConnection connection = new(
            replay.Options with { Start = HostStart.Never, AttachTimeout = TimeSpan.FromSeconds(5) });
        using CancellationTokenSource cancel = new();
        await Assert.ThrowsAsync<RequestCanceledException>(async () =>
        {
            await foreach (string _ in connection.StreamAsync(new LlamaRequest(Question), cancel.Token))
            {
                cancel.Cancel();
            }
        });
        await EventuallyAsync(() => replay.Client.Status.Running == 0, "its work has ended");
        await foreach (string _ in connection.StreamAsync(new LlamaRequest(Question)))
        {
            break;
        }
        await EventuallyAsync(() => replay.Client.Status.Running == 0, "the work of a loop that was left has ended");

        // A host that nobody may start again: the loop's end says so.
        await Assert.ThrowsAnyAsync<LlamaIpcException>(async () =>
        {
            await foreach (string _ in connection.StreamAsync(new LlamaRequest(Question)))
            {
                Signal(replay.Client.Status.ProcessId, SigKill);
            }
        });
    }

    [HostFact]
    public async Task Disposing_in_every_phase_leaves_no_process_and_no_object()
    {
        LlamaClientOptions options = ModernOptions();
        (string Name, Func<Task> Run)[] phases =
        [
            ("start", () => DisposeWhileConnectingAsync(options)),
            ("load", () => DisposeWhileLoadingAsync(options)),
            ("stream", () => DisposeWhileStreamingAsync(options)),
            ("change of model", () => DisposeWhileTheModelChangesAsync(options)),
            ("death", () => DisposeAfterDeathAsync(options)),
        ];
        await DisposeWhileStreamingAsync(options); // once, so that what is loaded only once is loaded
        string[] before = OpenFiles();
        for (int round = 0; round < Math.Max(1, 2 * Kills / phases.Length); round++)
        {
            foreach ((string name, Func<Task> run) in phases)
            {
                await run();
                await EventuallyAsync(() => HostsWith(options.InstanceName!).Length == 0, $"after {name} its processes are gone");
            }
        }
        await DisposeWhileStreamingAsync(options); // the next host takes over what a killed one left
        await EventuallyAsync(() => ObjectsOf(options.InstanceName!).Length == 0, "its objects are gone");
        await EventuallyAsync(() => OpenFiles().Length <= before.Length, "as many files are open as before");
        await EventuallyAsync(() => WaiterThreads() == 0, "no thread waits any more");
    }

    private static async Task DisposeWhileConnectingAsync(LlamaClientOptions options)
    {
        LlamaConnection connection = new(options);
        Task<LlamaClient> connecting = connection.GetAsync().AsTask();
        await connection.DisposeAsync();
        Exception? e = await Record.ExceptionAsync(() => connecting);
        Assert.True(e is OperationCanceledException or ObjectDisposedException or null, $"{e}");
    }

    private static async Task DisposeWhileLoadingAsync(LlamaClientOptions options)
    {
        LlamaClient client = await LlamaClient.ConnectAsync(options with { WaitUntilReady = false });
        Task loading = client.WaitReadyAsync();
        await client.DisposeAsync();
        Exception? e = await Record.ExceptionAsync(() => loading);
        Assert.True(e is OperationCanceledException or null, $"{e}");
    }

    private static async Task DisposeWhileStreamingAsync(LlamaClientOptions options)
    {
        LlamaClient client = await LlamaClient.ConnectAsync(options);
        await Assert.ThrowsAsync<RequestCanceledException>(async () =>
        {
            await foreach (string _ in client.StreamAsync(new LlamaRequest(Question) { IgnoreEos = true }))
            {
                await client.DisposeAsync();
            }
        });
    }

    private static async Task DisposeWhileTheModelChangesAsync(LlamaClientOptions options)
    {
        LlamaClient client = await LlamaClient.ConnectAsync(options);
        Task changing = client.LoadModelAsync(Path.Combine(Root, "models", "tutor.gguf"));
        await client.DisposeAsync();
        Exception? e = await Record.ExceptionAsync(() => changing);
        Assert.True(e is OperationCanceledException or null, $"{e}");
    }

    private static async Task DisposeAfterDeathAsync(LlamaClientOptions options)
    {
        LlamaClient client = await LlamaClient.ConnectAsync(options);
        Task<string> answer = client.AskAsync(new LlamaRequest(Question) { IgnoreEos = true });
        Signal(client.Status.ProcessId, SigKill);
        Exception? e = await Record.ExceptionAsync(() => answer);
        Assert.True(e is HostGoneException or AnswerTruncatedException, $"{e}");
        await client.DisposeAsync();
    }

    /// <summary>What a loop has read, and the process that it kills with every few pieces.</summary>
    private sealed class Killing(Func<int> victim)
    {
        private readonly StringBuilder text = new();
        private readonly HashSet<int> killed = [];
        private int pieces;

        internal string Text => text.ToString();

        internal int Done => killed.Count;

        internal void See(string piece)
        {
            text.Append(piece);
            if (Done < Kills && ++pieces % 3 == 0 && victim() is not 0 and int process && killed.Add(process))
            {
                Signal(process, SigKill);
            }
        }
    }
}
