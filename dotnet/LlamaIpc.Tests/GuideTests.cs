// The guide's own code, compiled as it stands and run against the real host.
using LlamaIpc.Tests.Guide;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class GuideTests
{
    private static readonly string? GuidePath = FindGuide();

    /// <summary>A test that needs the text of the guide, which lies beside the repository.</summary>
    private sealed class GuideFactAttribute : FactAttribute
    {
        public GuideFactAttribute() => Skip = GuidePath is null ? "shared/guide/streaming-ipc-guide.md is not here." : null;
    }

    [GuideFact]
    public void Every_block_of_the_guide_is_compiled_word_for_word() =>
        CodeBlocks.AssertCompiled(GuidePath!, "GuideSnippets.cs", expectedBlocks: 5);

    [HostFact]
    public async Task The_normal_mode_of_the_guide_prints_the_answer()
    {
        using Surroundings surroundings = new();
        string printed = await CaptureOutputAsync(Snippets.NormalMode);
        Assert.Equal(await AnswerAsync("What is C++?", ""), printed.TrimEnd('\n'));
        Assert.Empty(ObjectsOf(surroundings.Name));
    }

    [HostFact]
    public async Task The_streaming_mode_of_the_guide_fills_its_text_box()
    {
        using Surroundings surroundings = new();
        (string answer, string shown, string status) = await Blocking(() =>
        {
            Snippets snippets = new();
            string answer = snippets.StreamingMode();
            return (answer, snippets.myTextBox.Text, snippets.statusLabel.Text);
        });
        Assert.Equal(await AnswerAsync("Explain C++ pointers in detail", "You are a helpful tutor"), answer);
        Assert.Equal(answer, shown);
        Assert.Equal("Complete!", status);
    }

    [HostFact]
    public async Task The_steps_of_the_guide_work_with_a_host_that_was_started_first()
    {
        using Surroundings surroundings = new();

        // Step 1: somebody starts ./build/chatbot. Steps 2 and 3: the application uses it and leaves it running.
        using LlamaCppStreamingClient terminal = await ConnectAsync(new LlamaCppClientOptions());
        int host = terminal.HostProcessId;
        List<StreamUpdateEventArgs> updates = [];
        await Blocking(() => Snippets.HowToUse((_, e) => updates.Add(e)));
        Assert.True(updates[^1].IsComplete);
        Assert.Equal(host, terminal.HostProcessId);
        Assert.True(IsAlive(host));
    }

    [HostFact]
    public async Task The_logging_of_the_guide_prints_each_update()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        Snippets.Debugging(client);
        string printed = await CaptureOutputAsync(() => client.SendStreamingRequest("What is C++?"));
        Assert.Matches(@"^(\[Update \d+\] Latest: \d+ chars\n)+$", printed);
    }

    private static async Task<string> AnswerAsync(string question, string systemPrompt)
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        return (await client.SendRequestAsync(question, systemPrompt)).TrimEnd('\n');
    }

    private static async Task<string> CaptureOutputAsync(Action action)
    {
        TextWriter former = Console.Out;
        using StringWriter captured = new() { NewLine = "\n" };
        Console.SetOut(captured);
        try
        {
            await Blocking(action);
        }
        finally
        {
            Console.SetOut(former);
        }
        return captured.ToString();
    }

    private static string? FindGuide()
    {
        string path = Path.GetFullPath(Path.Combine(Root, "..", "shared", "guide", "streaming-ipc-guide.md"));
        return File.Exists(path) ? path : null;
    }
}
