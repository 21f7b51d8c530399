// The examples of dotnet/README.md are compiled as they stand and run against the real host.
using System.Windows.Controls;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class ReadmeTests
{
    [Fact]
    public void Every_example_is_compiled_word_for_word() =>
        CodeBlocks.AssertCompiled(Path.Combine(Root, "dotnet", "README.md"), "ReadmeExamples.cs", expectedBlocks: 6);

    [HostFact]
    public async Task The_examples_work()
    {
        using Surroundings surroundings = new();
        Assert.NotEqual("", await Blocking(ReadmeExamples.AtOnce));

        using LlamaCppStreamingClient client = await ConnectAsync(new LlamaCppClientOptions());
        Assert.NotEqual("", await Blocking(() => ReadmeExamples.Events(client)));
        int pieces = 0;
        await ReadmeExamples.LoopAsync(client, () => ++pieces == 3, CancellationToken.None);
        Assert.Equal(3, pieces);

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
