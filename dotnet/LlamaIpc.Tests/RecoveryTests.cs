// What a user sees when the part of the host that runs the model is killed: a pause. And when all of it is: HostGone,
// and in the next host the stream again.
using System.Text;
using Microsoft.Extensions.AI;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class RecoveryTests
{
    private const string Question = "What is C++?";

    /// <summary>
    /// At a high temperature: a text that nothing but the same draws can give again, by a host that is repeatable.
    /// </summary>
    private static readonly LlamaRequest Sampled = new(Question)
    {
        Temperature = 1.5f,
        Seed = 7,
        MaxTokens = 1000,
        IgnoreEos = true,
    };

    [HostFact]
    public async Task A_killed_worker_costs_a_loop_nothing_but_a_pause()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(300), rate: 200);
        int host = replay.Client.Status.ProcessId;
        using LlamaStream stream = replay.Client.OpenStream(Question);
        using StateWatch watch = new(replay.Client, stream);
        Assert.Equal(replay.Text, await ReadKillingAsync(stream, host, kills: 3));

        Assert.Equal(LlamaEnd.Turn, stream.Result!.End);
        Assert.Equal(replay.Text, stream.Result.Text);
        Assert.Equal(stream.Result.Tokens, stream.GetTokens().Count);
        await EventuallyAsync(() => replay.Client.Status.State == LlamaHostState.Ready, "the host serves again");
        Assert.Equal(host, replay.Client.Status.ProcessId);
        Assert.Subset(new HashSet<LlamaHostState> { LlamaHostState.Ready, LlamaHostState.Recovering }, watch.OfHost);
        Assert.DoesNotContain(watch.OfStream, state => !Enum.IsDefined(state));
        Assert.Equal(replay.Text, await replay.Client.AskAsync(Question));
    }

    [HostFact]
    public async Task An_answer_of_the_model_is_the_one_that_nobody_disturbed()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions("--repeatable"));
        using LlamaStream undisturbed = client.OpenStream(Sampled);
        string expected = await ReadAsync(undisturbed);
        using LlamaStream disturbed = client.OpenStream(Sampled);
        Assert.Equal(expected, await ReadKillingAsync(disturbed, client.Status.ProcessId, kills: 2));
        Assert.Equal(undisturbed.GetTokens().Select(x => x.Id), disturbed.GetTokens().Select(x => x.Id));
    }

    [HostFact]
    public async Task An_IChatClient_has_each_update_once_whatever_is_killed()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(1200), rate: 200);
        using IChatClient chat = replay.Client.AsIChatClient();
        int host = replay.Client.Status.ProcessId, kills = 5;
        List<ChatResponseUpdate> updates = [];
        await foreach (ChatResponseUpdate update in chat.GetStreamingResponseAsync(Question))
        {
            updates.Add(update);
            if (kills > 0 && updates.Count % 3 == 0)
            {
                kills--;
                await KillWorkerAsync(host);
            }
        }
        Assert.Equal(0, kills);
        Assert.Equal(replay.Text, string.Concat(updates.Select(update => update.Text)));
        Assert.Single(updates.SelectMany(update => update.Contents).OfType<UsageContent>());
        Assert.Equal(ChatFinishReason.Stop, updates.Single(update => update.FinishReason != null).FinishReason);
        Assert.Single(updates.Select(update => (update.ResponseId, update.MessageId)).Distinct());
    }

    [HostFact]
    public async Task Status_and_progress_say_that_it_recovers()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        HashSet<LlamaHostState> ofHost = [];
        HashSet<LlamaStreamState> ofStream = [];

        // Loading the model takes long enough for somebody who looks without a pause; on a busy machine not every time.
        bool HaveSaid() => ofHost.Contains(LlamaHostState.Recovering) && ofStream.Contains(LlamaStreamState.Recovering);
        for (int i = 0; i < 20 && !HaveSaid(); i++)
        {
            using LlamaStream stream = client.OpenStream(Sampled);
            using StateWatch watch = new(client, stream);
            await ReadKillingAsync(stream, client.Status.ProcessId, kills: 1);
            ofHost.UnionWith(watch.OfHost);
            ofStream.UnionWith(watch.OfStream);
        }
        Assert.Contains(LlamaHostState.Recovering, ofHost);
        Assert.Contains(LlamaStreamState.Recovering, ofStream);
    }

    [HostFact]
    public async Task All_that_runs_and_waits_goes_on()
    {
        await using Replay replay = await Replay.StartAsync(
            Replay.Words(100), rate: 100, arguments: ["-np", "2", "--streams", "4"]);
        Task<string>[] answers = [.. Enumerable.Range(0, 8).Select(_ => replay.Client.AskAsync(Question))];
        await EventuallyAsync(() => replay.Client.Status.Running == 2, "two answers are being made");
        await KillWorkerAsync(replay.Client.Status.ProcessId);
        Assert.All(await Task.WhenAll(answers), answer => Assert.Equal(replay.Text, answer));
    }

    [HostFact]
    public async Task A_worker_that_dies_while_nothing_runs_is_replaced()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(10), rate: 0);
        await KillWorkerAsync(replay.Client.Status.ProcessId);
        await replay.Client.WaitReadyAsync();
        Assert.Equal(replay.Text, await replay.Client.AskAsync(Question));
    }

    [HostFact]
    public async Task A_stream_is_attached_to_again_in_the_next_host()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(1000), rate: 200);
        StringBuilder joined = new();
        int pieces = 0;
        using LlamaStream stream = replay.Client.OpenStream(new LlamaRequest(Question) { Detachable = true });
        HostGoneException e = await Assert.ThrowsAsync<HostGoneException>(async () =>
        {
            await foreach (string piece in stream)
            {
                joined.Append(piece);
                if (++pieces == 2)
                {
                    Signal(replay.Client.Status.ProcessId, SigKill);
                }
            }
        });
        Assert.Equal(joined.ToString(), e.PartialResponse);
        await EventuallyAsync(() => replay.Client.Status.State == LlamaHostState.Gone, "the client knows");

        long offset = stream.Offset;
        string id = stream.Id;
        await replay.Client.DisposeAsync();
        await using LlamaClient next = await LlamaClient.ConnectAsync(replay.Options);
        using LlamaStream again = next.Attach(id, offset);
        joined.Append(await ReadAsync(again));
        Assert.Equal(replay.Text, joined.ToString());
        Assert.Equal(LlamaEnd.Turn, again.Result!.End);
    }

    [HostFact]
    public async Task The_client_of_the_guide_lives_through_it()
    {
        LlamaCppClientOptions options = Options("--ignore-eos", "-n", "600");
        using LlamaCppStreamingClient client = await ConnectAsync(options);
        int host = client.HostProcessId;
        string expected = await client.SendRequestAsync(Question);
        foreach (bool blocking in (bool[])[true, false])
        {
            int worker = 0;
            StringBuilder joined = new();
            void KillOnce(object? sender, StreamUpdateEventArgs e)
            {
                joined.Append(e.NewText);
                if (worker == 0 && e.TokensGenerated >= 3)
                {
                    worker = WorkerOf(host);
                    Signal(worker, SigKill);
                }
            }
            client.OnStreamUpdate += KillOnce;
            Assert.Equal(expected, blocking
                ? await Blocking(() => client.SendStreamingRequest(Question))
                : await client.SendStreamingRequestAsync(Question));
            client.OnStreamUpdate -= KillOnce;
            Assert.Equal(expected, joined.ToString());
            Assert.NotEqual(0, worker);
            await EventuallyAsync(() => HasWorkerOtherThan(worker, host), "another worker runs");
        }
        Assert.Equal(host, client.HostProcessId);
        Assert.Equal(expected, await client.SendRequestAsync(Question));
    }

    private static async Task<string> ReadAsync(LlamaStream stream)
    {
        StringBuilder joined = new();
        await foreach (string piece in stream)
        {
            joined.Append(piece);
        }
        return joined.ToString();
    }

    /// <summary>Reads to the end, and kills a worker with every second piece until so many are dead.</summary>
    private static async Task<string> ReadKillingAsync(LlamaStream stream, int host, int kills)
    {
        StringBuilder joined = new();
        int pieces = 0;
        await foreach (string piece in stream)
        {
            joined.Append(piece);
            if (pieces++ % 2 == 0 && kills > 0)
            {
                kills--;
                await KillWorkerAsync(host);
            }
        }
        return joined.ToString();
    }

    /// <summary>Kills the host's worker and waits until there is another.</summary>
    private static async Task KillWorkerAsync(int host)
    {
        int worker = WorkerOf(host);
        Signal(worker, SigKill);
        await EventuallyAsync(() => HasWorkerOtherThan(worker, host), "another worker runs");
    }

    private static bool HasWorkerOtherThan(int dead, int host) => WorkerOf(host) is not 0 and int now && now != dead;

    /// <summary>Collects the states that a client can see, looking without a pause.</summary>
    private sealed class StateWatch : IDisposable
    {
        private readonly HashSet<LlamaHostState> ofHost = [];
        private readonly HashSet<LlamaStreamState> ofStream = [];
        private readonly Thread thread;
        private volatile bool isStopped;

        internal StateWatch(LlamaClient client, LlamaStream stream)
        {
            thread = new Thread(() => Watch(client, stream)) { IsBackground = true };
            thread.Start();
        }

        internal HashSet<LlamaHostState> OfHost => Stopped(ofHost);

        internal HashSet<LlamaStreamState> OfStream => Stopped(ofStream);

        public void Dispose() => Stopped(ofHost);

        private HashSet<T> Stopped<T>(HashSet<T> states)
        {
            isStopped = true;
            thread.Join();
            return states;
        }

        private void Watch(LlamaClient client, LlamaStream stream)
        {
            while (!isStopped)
            {
                ofHost.Add(client.Status.State);
                ofStream.Add(stream.Progress.State);
                Thread.Sleep(0);
            }
        }
    }
}
