// A running host gets another model: what its clients see of that.
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class LoadModelTests
{
    private const string Question = "What is C++?";

    private static string Tutor => Path.Combine(Root, "models", "tutor.gguf");

    [HostFact]
    public async Task What_runs_is_finished_and_the_new_model_answers()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        string expected = await client.AskAsync(Question);
        Reports reports = new();
        Task<string> running = client.AskAsync(Question);
        Task changing = client.LoadModelAsync(Tutor, reports);
        Task<string> waiting = client.AskAsync(Question);
        await changing;
        Assert.Equal(LlamaHostState.Ready, client.Status.State);
        Assert.Equal(expected, await running);
        Assert.Equal(expected, await waiting);
        Assert.Equal(LlamaHostState.Ready, reports.All[^1].State);
        Assert.Equal(1, reports.All[^1].LoadProgress);
        Assert.NotEqual("", reports.All[^1].Model);
        Assert.Equal(1, client.Status.Clients);
    }

    [HostFact]
    public async Task A_file_that_cannot_be_used_leaves_the_model_that_was_there()
    {
        using TemporaryFolder folder = new();
        string missing = Path.GetFullPath("/no/such/model.gguf");
        string damaged = Path.Combine(folder.Path, "damaged.gguf");
        await File.WriteAllBytesAsync(damaged, File.ReadAllBytes(Tutor)[..100_000]);
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        string expected = await client.AskAsync(Question);
        RequestRefusedException refused = await Assert.ThrowsAsync<RequestRefusedException>(
            () => client.LoadModelAsync(missing));
        Assert.Contains(missing, refused.Message, StringComparison.Ordinal);
        ModelFailedException failed = await Assert.ThrowsAsync<ModelFailedException>(() => client.LoadModelAsync(damaged));
        Assert.Equal(LipcError.Failed, failed.Error);
        await Assert.ThrowsAsync<ArgumentException>(() => client.LoadModelAsync(""));
        Assert.Equal(expected, await client.AskAsync(Question));
    }

    [HostFact]
    public async Task Cancelling_withdraws_it()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions("--context-shift"));
        using LlamaStream endless = client.OpenStream(new LlamaRequest(Question) { IgnoreEos = true, MaxTokens = 1_000_000 });
        await EventuallyAsync(() => client.Status.Running == 1, "the answer is being made");
        using CancellationTokenSource cancelling = new();
        Task changing = client.LoadModelAsync(Tutor, progress: null, cancelling.Token);
        await EventuallyAsync(() => client.Status.Queued == 1, "it waits for its turn");
        await cancelling.CancelAsync();
        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => changing);
        Assert.Equal(cancelling.Token, e.CancellationToken);
        await EventuallyAsync(() => client.Status.Queued == 0, "it has left the queue");
        Assert.True(endless.Progress.State is LlamaStreamState.Reading or LlamaStreamState.Generating);
    }

    private sealed class Reports : IProgress<LlamaHostStatus>
    {
        internal List<LlamaHostStatus> All { get; } = [];

        public void Report(LlamaHostStatus value)
        {
            lock (All)
            {
                All.Add(value);
            }
        }
    }
}
