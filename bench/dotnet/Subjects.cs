// The three ways for a C# program to a local model. Between the marks is what an application writes until it shows text: the
// lines are counted for the table.
using System.ClientModel;
using LLama;
using LLama.Common;
using LLama.Sampling;
using Microsoft.Extensions.AI;
using OpenAI;

namespace LlamaIpc.Bench;

/// <summary>One of the ways, ready to be asked.</summary>
internal abstract class Subject : IAsyncDisposable
{
    protected const int ContextTokens = 4096;

    protected static int Threads { get; } = int.Parse(Environment.GetEnvironmentVariable("THREADS") ?? "2");

    /// <summary>Whether the model runs in this process.</summary>
    internal virtual bool IsInProcess => false;

    internal abstract Task StartAsync(string model);

    internal abstract IAsyncEnumerable<string> AskAsync(string question, int tokens, CancellationToken cancellationToken);

    /// <summary>Whether the engine works on something.</summary>
    internal abstract Task<bool> IsBusyAsync();

    /// <summary>Kills the process that runs the model.</summary>
    internal abstract void KillModel();

    public abstract ValueTask DisposeAsync();
}

internal sealed class LipcSubject : Subject
{
    private LlamaClient client = null!;

    internal override async Task StartAsync(string model)
    {
        // begin lipc
        client = await LlamaClient.ConnectAsync(new() { ModelPath = model, HostArguments = Options });
        // end lipc
    }

    internal override async IAsyncEnumerable<string> AskAsync(
        string question, int tokens, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        // begin lipc
        await foreach (string text in client.StreamAsync(new LlamaRequest(question) { MaxTokens = tokens }, cancellationToken))
            yield return text;
        // end lipc
    }

    internal override Task<bool> IsBusyAsync() => Task.FromResult(client.Status.Running > 0);

    internal override void KillModel()
    {
        int host = client.Status.ProcessId;
        string worker = File.ReadAllText($"/proc/{host}/task/{host}/children").Trim();
        System.Diagnostics.Process.GetProcessById(int.Parse(worker)).Kill();
    }

    public override ValueTask DisposeAsync() => client.DisposeAsync();

    private static string[] Options =>
        ["--ctx-size", $"{ContextTokens}", "--threads", $"{Threads}", "--parallel", "1", "--temp", "0"];
}

internal sealed class OpenAiSubject : Subject
{
    private System.Diagnostics.Process server = null!;
    private HttpClient http = null!;
    private IChatClient chat = null!;

    internal override async Task StartAsync(string model)
    {
        int port = FreePort();
        // begin openai
        server = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(Program, ["--model", model, "--port", $"{port}", .. Options]) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        _ = server.StandardError.ReadToEndAsync();
        _ = server.StandardOutput.ReadToEndAsync();
        http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        while (!await IsUpAsync())
            await Task.Delay(50);
        chat = new OpenAIClient(new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(http.BaseAddress, "/v1") })
            .GetChatClient("model").AsIChatClient();
        // end openai
    }

    internal override async IAsyncEnumerable<string> AskAsync(
        string question, int tokens, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ChatOptions options = new() { MaxOutputTokens = tokens, Temperature = 0 };
        // begin openai
        await foreach (ChatResponseUpdate update in chat.GetStreamingResponseAsync(question, options, cancellationToken))
            yield return update.Text;
        // end openai
    }

    internal override async Task<bool> IsBusyAsync() =>
        (await http.GetStringAsync("/slots")).Contains("\"is_processing\":true", StringComparison.Ordinal);

    internal override void KillModel() => server.Kill();

    public override ValueTask DisposeAsync()
    {
        server.Kill();
        server.WaitForExit();
        http.Dispose();
        return ValueTask.CompletedTask;
    }

    private static string Program => Environment.GetEnvironmentVariable("LLAMA_SERVER") ?? "llama-server";

    private static string[] Options => ["--ctx-size", $"{ContextTokens}", "--threads", $"{Threads}", "--parallel", "1", "--no-webui"];

    // begin openai
    private async Task<bool> IsUpAsync()
    {
        try { return (await http.GetAsync("/health")).IsSuccessStatusCode; }
        catch (HttpRequestException) { return false; }
    }
    // end openai

    private static int FreePort()
    {
        using System.Net.Sockets.TcpListener listener = new(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        return ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
    }
}

internal sealed class LlamaSharpSubject : Subject
{
    private LLamaWeights weights = null!;
    private StatelessExecutor executor = null!;

    internal override bool IsInProcess => true;

    internal override async Task StartAsync(string model)
    {
        LLama.Native.NativeLogConfig.llama_log_set((_, _) => { });
        // begin llamasharp
        ModelParams parameters = new(model) { ContextSize = ContextTokens, Threads = Threads, GpuLayerCount = 0 };
        weights = await LLamaWeights.LoadFromFileAsync(parameters);
        executor = new StatelessExecutor(weights, parameters) { ApplyTemplate = true };
        // end llamasharp
    }

    internal override async IAsyncEnumerable<string> AskAsync(
        string question, int tokens, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        // begin llamasharp
        InferenceParams inference = new() { MaxTokens = tokens, SamplingPipeline = new GreedySamplingPipeline() };
        await foreach (string text in executor.InferAsync(question, inference, cancellationToken))
            yield return text;
        // end llamasharp
    }

    /// <summary>It works in the loop itself.</summary>
    internal override Task<bool> IsBusyAsync() => Task.FromResult(false);

    /// <summary>The model's process is this one.</summary>
    internal override void KillModel() => System.Diagnostics.Process.GetCurrentProcess().Kill();

    public override ValueTask DisposeAsync()
    {
        weights.Dispose();
        return ValueTask.CompletedTask;
    }
}
