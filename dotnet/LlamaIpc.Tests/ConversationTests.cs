// Conversations, the view model over them, and scripts that a host plays.
using LlamaIpc.Testing;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class ConversationTests
{
    private static LlamaClientOptions Host => new() { HostPath = HostPath };

    [HostFact]
    public async Task A_conversation_remembers_what_was_said_and_the_host_evaluates_only_what_is_new()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        LlamaConversation conversation = new(client, "You are a helpful tutor");
        string first = await conversation.AskAsync("What is C++?");
        Assert.Equal(first, conversation.LastResult!.Text);
        LlamaRequest same = new(
            LlamaMessage.System("You are a helpful tutor"),
            LlamaMessage.User("What is C++?"),
            LlamaMessage.Assistant(first),
            LlamaMessage.User("What is a pointer?"));
        using LlamaStream expected = client.OpenStream(same);
        await foreach (string _ in expected)
        {
        }
        Assert.Equal(expected.Text, await conversation.AskAsync("What is a pointer?"));
        Assert.Equal(5, conversation.Messages.Count);

        LlamaConversation loaded = LlamaConversation.Load(client, conversation.Save());
        Assert.Equal(conversation.Messages, loaded.Messages);
        Assert.NotEqual("", await loaded.AskAsync("What is a reference?"));
        Assert.Throws<FormatException>(() => LlamaConversation.Load(client, "no conversation"));
        Assert.Throws<FormatException>(() => LlamaConversation.Load(client, "{\"version\": 99, \"messages\": []}"));
        Assert.Throws<FormatException>(() => LlamaConversation.Load(client, "{\"version\": 1, \"messages\": [{}]}"));
    }

    [HostFact]
    public async Task A_saved_state_is_restored_by_another_host_and_not_read_again()
    {
        string file = Path.Combine(Path.GetTempPath(), $"lipc-{Guid.NewGuid():N}.state");
        try
        {
            string saved;
            LlamaSavedState state;
            await using (LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions()))
            {
                LlamaConversation conversation = new(client, "You are a helpful tutor");
                await conversation.AskAsync("What is C++?");
                saved = conversation.Save();
                state = await conversation.SaveStateAsync(file);
                Assert.Equal(new FileInfo(file).Length, state.Bytes);
            }
            await using LlamaClient other = await LlamaClient.ConnectAsync(ModernOptions());
            Assert.Equal(state, await other.RestoreStateAsync(file));
            LlamaConversation loaded = LlamaConversation.Load(other, saved);
            using LlamaStream stream = other.OpenStream(new LlamaRequest([.. loaded.Messages, LlamaMessage.User("What is a pointer?")]));
            await foreach (string _ in stream)
            {
            }
            Assert.InRange(stream.Progress.PromptTokensCached, state.Tokens - 8, state.Tokens);

            RequestRefusedException e = await Assert.ThrowsAsync<RequestRefusedException>(
                () => other.RestoreStateAsync(file + "x"));
            Assert.Contains("there is no saved state", e.Message, StringComparison.Ordinal);
            e = await Assert.ThrowsAsync<RequestRefusedException>(
                () => new LlamaConversation(other, new string('?', 400)).SaveStateAsync(file));
            Assert.Contains("nothing", e.Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [HostFact]
    public async Task A_turn_that_is_not_whole_leaves_the_conversation_as_it_was()
    {
        await using ReplayHost host = await ReplayHost.StartAsync(
            new ReplayScript().Answer().Text("this is half").Fail("the model is out of order"), Host);
        LlamaConversation conversation = new(host.Client);
        ModelFailedException e = await Assert.ThrowsAsync<ModelFailedException>(() => conversation.AskAsync("a question"));
        Assert.Contains("the model is out of order", e.Message, StringComparison.Ordinal);
        Assert.Equal("this is half", e.PartialResponse);
        Assert.Empty(conversation.Messages);
        await foreach (string _ in conversation.StreamAsync("a question"))
        {
            await Assert.ThrowsAsync<InvalidOperationException>(() => conversation.AskAsync("a second one"));
            break;
        }
        Assert.Empty(conversation.Messages);
    }

    [HostFact]
    public async Task A_script_is_played_answer_by_answer_and_a_crash_is_a_pause()
    {
        await using ReplayHost host = await ReplayHost.StartAsync(
            new ReplayScript()
                .Answer().Text("One moment.").Pause(TimeSpan.FromMilliseconds(20)).Crash().Text(" Here it is: \"ä€🎉\"\n")
                .Answer().Text("The second.")
                .Answer().Text("no more room").EndOfContext(),
            Host);
        LlamaConversation conversation = new(host.Client);
        Assert.Equal("One moment. Here it is: \"ä€🎉\"\n", await conversation.AskAsync("1"));
        Assert.Equal("The second.", await conversation.AskAsync("2"));
        AnswerTruncatedException cut = await Assert.ThrowsAsync<AnswerTruncatedException>(() => conversation.AskAsync("3"));
        Assert.Equal(LlamaEnd.Context, cut.End);

        await host.KillAsync();
        HostGoneException gone = await Assert.ThrowsAsync<HostGoneException>(() => conversation.AskAsync("4"));
        Assert.NotEqual("", gone.Message);
    }

    [HostFact]
    public async Task A_view_model_shows_what_a_window_needs()
    {
        await using ReplayHost host = await ReplayHost.StartAsync(
            new ReplayScript().Answer().Text(Replay.Words(200)).Answer().Text("not all").Fail("out of order"),
            Host,
            tokensPerSecond: 400);
        using UiThread ui = new();
        ChatViewModel view = null!;
        HashSet<string> changed = [];
        int texts = 0;
        await await OnUi(ui, async () =>
        {
            view = new ChatViewModel(host.Client, "You are a helpful tutor");
            view.PropertyChanged += (_, e) =>
            {
                Assert.Equal(ui.ThreadId, Environment.CurrentManagedThreadId);
                changed.Add(e.PropertyName!);
            };
            Assert.False(view.SendCommand.CanExecute(null));
            view.Input = " What is C++? ";
            Assert.True(view.SendCommand.CanExecute(null));
            Task sent = view.SendAsync();
            Assert.True(view.IsBusy && view.StopCommand.CanExecute(null) && !view.SendCommand.CanExecute(null));
            Assert.Equal(("", 2, true), (view.Input, view.Messages.Count, view.Messages[1].IsGrowing));
            view.Messages[1].PropertyChanged += (_, _) => texts++;
            await sent;
            Assert.Equal(Replay.Words(200), view.Messages[1].Text);
            Assert.Equal("What is C++?", view.Messages[0].Text);
            Assert.True(!view.IsBusy && !view.Messages[1].IsGrowing && view.Messages[1].IsWhole && view.Failure is null);
            Assert.Contains(" tokens", view.Status, StringComparison.Ordinal);

            view.Input = "Another question";
            await view.SendAsync();
            Assert.Equal("not all", view.Messages[3].Text);
            Assert.False(view.Messages[3].IsWhole);
            Assert.IsType<ModelFailedException>(view.Failure);
        });
        Assert.True(texts >= 2);
        Assert.Superset(new HashSet<string> { "Input", "IsBusy", "Status", "Failure" }, changed);
        Assert.Empty(ui.Unhandled);
    }

    [HostFact]
    public async Task A_view_model_stops_an_answer()
    {
        await using ReplayHost host = await ReplayHost.StartAsync(
            ReplayScript.OfText(Replay.Words(5000)), Host, tokensPerSecond: 50);
        using UiThread ui = new();
        await await OnUi(ui, async () =>
        {
            ChatViewModel view = new(host.Client) { Input = "a question" };
            Task sent = view.SendAsync();
            while (view.Messages[1].Text.Length == 0)
            {
                await Task.Delay(5);
            }
            view.StopCommand.Execute(null);
            await sent;
            Assert.Equal("Stopped", view.Status);
            Assert.False(view.Messages[1].IsWhole);
            Assert.Null(view.Failure);
            Assert.True(view.ClearCommand.CanExecute(null));
            view.ClearCommand.Execute(null);
            Assert.Empty(view.Messages);
        });
        await EventuallyAsync(() => host.Client.Status.Running == 0, "the host works on nothing");
        Assert.Empty(ui.Unhandled);
    }

    private static async Task<T> OnUi<T>(UiThread ui, Func<T> function)
    {
        T result = default!;
        await ui.InvokeAsync(() => result = function());
        return result;
    }
}
