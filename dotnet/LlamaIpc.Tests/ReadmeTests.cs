// The examples of dotnet/README.md are compiled as they stand and run against the real host.
using System.Windows.Controls;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class ReadmeTests
{
    [Fact]
    public void Every_example_is_compiled_word_for_word() =>
        CodeBlocks.AssertCompiled(Path.Combine(Root, "dotnet", "README.md"), "ReadmeExamples.cs", expectedBlocks: 16);

    [HostFact]
    public async Task The_examples_of_the_modern_client_work()
    {
        using Surroundings surroundings = new();
        await using LlamaClient client = await LlamaClient.ConnectAsync(new() { HostPath = "./build/chatbot" });
        await ReadmeExamples.AskAsync();
        int pieces = 0;
        await ReadmeExamples.StreamAsync(client, () => ++pieces == 1, CancellationToken.None);
        Assert.Equal(1, pieces);
        await Blocking(() => ReadmeExamples.OnOwnThread(client));
        LlamaRequest request = await ReadmeExamples.ConversationAsync(client, CancellationToken.None);
        await ReadmeExamples.DetailsAsync(client, request, CancellationToken.None);
        await ReadmeExamples.FindAgainAsync(client, request);
        await ReadmeExamples.FailuresAsync(client, request, new CancellationToken(canceled: true));
        LlamaRequest endless = request with { IgnoreEos = true, MaxTokens = null };
        await ReadmeExamples.FailuresAsync(client, endless, CancellationToken.None);

        using UiThread ui = new();
        using LlamaStream stream = client.OpenStream(request);
        TextBox answer = null!;
        Label status = null!;
        Action onFrame = null!;
        await ui.InvokeAsync(
            () => onFrame = ReadmeExamples.Frames(stream, answer = new TextBox(), status = new Label()));
        while (stream.Result is null)
        {
            await ui.InvokeAsync(onFrame);
        }
        await ui.InvokeAsync(() =>
        {
            Assert.Equal(stream.Text, answer.Text);
            Assert.EndsWith(" tokens", status.Text, StringComparison.Ordinal);
            Assert.StartsWith(stream.Result.End.ToString(), status.Text, StringComparison.Ordinal);
        });
        Task connecting = null!;
        await ui.InvokeAsync(() => connecting = ReadmeExamples.ConnectAsync(status, CancellationToken.None));
        await Assert.ThrowsAsync<ModelNotFoundException>(() => connecting); // There is no such model.
        Task changing = null!;
        await ui.InvokeAsync(
            () => changing = ReadmeExamples.LoadModelAsync(client, status, CancellationToken.None));
        await Assert.ThrowsAsync<RequestRefusedException>(() => changing); // Nor this one.
    }

    [HostFact]
    public async Task The_examples_work()
    {
        using Surroundings surroundings = new();
        Assert.NotEqual("", await Blocking(ReadmeExamples.AtOnce));

        using LlamaCppStreamingClient client = await ConnectAsync(new LlamaCppClientOptions());
        Assert.NotEqual("", await Blocking(() => ReadmeExamples.Events(client)));
        int pieces = 0;
        await ReadmeExamples.LoopAsync(client, () => ++pieces == 1, CancellationToken.None);
        Assert.Equal(1, pieces);

        using UiThread ui = new();
        using LlamaCppStreamingClient windowClient = new();
        TextBox answer = null!;
        Label status = null!;
        Task window = null!;
        await ui.InvokeAsync(() =>
        {
            answer = new TextBox();
            status = new Label();
            window = ReadmeExamples.WindowAsync(
                windowClient, new TextBox { Text = "What is C++?" }, answer, status, CancellationToken.None);
        });
        await window;
        await ui.InvokeAsync(() =>
        {
            Assert.NotEqual("", answer.Text);
            Assert.EndsWith(" tokens", status.Text, StringComparison.Ordinal);
        });

        Signal(client.HostProcessId, SigKill);
        await EventuallyAsync(() => client.HostErrorLines.Count > 0, "the host has said something");
        await Blocking(() => ReadmeExamples.Errors(client, new LlamaCppClientOptions(), CancellationToken.None));
        Assert.NotEqual("", await client.SendRequestAsync("What is C++?"));
    }
}
