// The window examples, with stand-ins for their desktop, and what an interface's thread can rely on.
using System.Diagnostics;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class WindowTests
{
    private const string Question = "What is C++?";

    [HostFact]
    public async Task The_wpf_window_shows_an_answer_and_can_cancel_one()
    {
        using Surroundings surroundings = new();
        using UiThread ui = new();
        WpfExample.MainWindow window = null!;
        await ui.InvokeAsync(() => (window = new WpfExample.MainWindow()).Show());
        await EventuallyAsync(() => Read(ui, () => window.ProgressLabel.Text) == "Ready", "the host is ready");
        await ui.InvokeAsync(window.SendButton.PerformClick);
        await EventuallyAsync(() => Read(ui, () => window.ProgressLabel.Text.StartsWith("Complete! (", StringComparison.Ordinal)
            && window.SendButton.IsEnabled && !window.CancelButton.IsEnabled), "the answer is complete");
        Assert.NotEqual("", Read(ui, () => window.ResponseTextBox.Text));

        // Both clicks within one message: whatever the speed of the model, the request cannot have completed on screen.
        await ui.InvokeAsync(() =>
        {
            window.SendButton.PerformClick();
            window.CancelButton.PerformClick();
        });
        await EventuallyAsync(() => Read(ui, () => window.SendButton.IsEnabled), "the window can send again");
        Assert.Equal("Cancelled", Read(ui, () => window.ProgressLabel.Text));

        await ui.InvokeAsync(window.Close);
        Assert.Empty(ObjectsOf(surroundings.Name));
        Assert.Empty(ui.Unhandled);
    }

    [HostFact]
    public async Task The_window_of_the_guide_itself_runs_once_its_question_is_read_on_its_own_thread()
    {
        using Surroundings surroundings = new();
        using UiThread ui = new();
        Guide.Wpf.MainWindow window = null!;
        await ui.InvokeAsync(() => window = new Guide.Wpf.MainWindow());

        // As in real WPF, the guide's code reads UserInputTextBox on a thread of the pool, which the window refuses.
        await ui.InvokeAsync(window.SendButton.PerformClick);
        await EventuallyAsync(() => ui.Unhandled.Count == 1, "the window refuses the foreign thread");
        Assert.IsType<InvalidOperationException>(ui.Unhandled.Single());
        // The guide's window does not dispose of its client; forgotten, it ends its host all the same.
        window = null!;
        await ui.InvokeAsync(() => { });
        await EventuallyAsync(
            () =>
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
                return ObjectsOf(surroundings.Name).Length == 0;
            },
            "the host of the forgotten window has ended");
    }

    [HostFact]
    public async Task The_windows_forms_window_shows_an_answer_and_can_cancel_one()
    {
        using Surroundings surroundings = new();
        using UiThread ui = new();
        WinFormsExample.MainForm form = null!;
        await ui.InvokeAsync(() =>
        {
            form = new WinFormsExample.MainForm();
            form.Show();
        });
        System.Windows.Forms.Control answer = null!, send = null!, cancel = null!, status = null!;
        await ui.InvokeAsync(() =>
        {
            answer = form.Controls[0];
            send = form.Controls[2];
            cancel = form.Controls[3];
            status = form.Controls[4];
        });
        await EventuallyAsync(() => Read(ui, () => send.Enabled && status.Text == "Ready"), "the host is ready");

        await ui.InvokeAsync(send.PerformClick);
        await EventuallyAsync(() => Read(ui, () => send.Enabled && status.Text == "Complete!"), "the answer is complete");
        Assert.NotEqual("", Read(ui, () => answer.Text));

        await ui.InvokeAsync(() =>
        {
            send.PerformClick();
            cancel.PerformClick();
        });
        await EventuallyAsync(() => Read(ui, () => send.Enabled && status.Text == "Cancelled"), "the request is cancelled");

        await ui.InvokeAsync(form.Close);
        Assert.Empty(ObjectsOf(surroundings.Name));
        Assert.Empty(ui.Unhandled);
    }

    [HostFact]
    public async Task Updates_of_an_asynchronous_request_arrive_in_order_on_the_thread_of_the_interface()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        using UiThread ui = new();
        List<StreamUpdateEventArgs> updates = [];
        List<int> threads = [];
        client.OnStreamUpdate += (_, e) =>
        {
            threads.Add(Environment.CurrentManagedThreadId);
            updates.Add(e);
        };
        string answer = await await OnUi(ui, () => client.SendStreamingRequestAsync(Question));

        // All of them have been raised by the time the answer is there.
        Assert.All(threads, thread => Assert.Equal(ui.ThreadId, thread));
        Assert.True(updates[^1].IsComplete);
        Assert.Equal(answer, updates[^1].PartialResponse);
        Assert.Equal(answer, string.Concat(updates.Select(update => update.NewText)));
    }

    [HostFact]
    public async Task A_busy_interface_holds_nothing_up_and_gets_the_latest_state()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos", "-n", "100"));
        using UiThread ui = new();
        List<StreamUpdateEventArgs> updates = [];
        client.OnStreamUpdate += (_, e) => updates.Add(e);
        Task<string> request = await OnUi(ui, () =>
        {
            Task<string> sent = client.SendStreamingRequestAsync(Question);

            // The interface is busy until the host has finished all of its work for us and served somebody else.
            client.SendRequest("");
            return sent;
        });
        string answer = await request;
        Assert.Equal(answer, string.Concat(updates.Select(update => update.NewText)));
        Assert.True(updates[^1].IsComplete);
        Assert.True(updates.Count <= 2, $"{updates.Count} updates although the interface was busy");
    }

    [HostFact]
    public async Task An_exception_in_a_handler_on_the_interface_reaches_the_caller()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos"));
        using UiThread ui = new();
        client.OnStreamUpdate += (_, _) => throw new FormatException("the handler's own");
        Task<string> request = await OnUi(ui, () => client.SendStreamingRequestAsync(Question));
        await Assert.ThrowsAsync<FormatException>(() => request);
        Assert.Empty(ui.Unhandled);
    }

    [HostFact]
    public async Task A_window_that_is_closed_while_it_streams_takes_nothing_with_it()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos", "-n", "200"));
        Task<string> request;
        using (UiThread ui = new())
        {
            request = await OnUi(ui, () => client.SendStreamingRequestAsync(Question));
        }
        Stopwatch watch = Stopwatch.StartNew();
        Assert.NotEqual("", await request);
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"it took {watch.Elapsed}");
    }

    [HostFact]
    public async Task Waiting_for_an_asynchronous_request_on_the_interface_itself_does_not_lock_up()
    {
        using LlamaCppStreamingClient client = await ConnectAsync(Options("-n", "8"));
        using UiThread ui = new();
        client.OnStreamUpdate += (_, _) => { };
        Assert.NotEqual("", await OnUi(ui, () => client.SendStreamingRequestAsync(Question).GetAwaiter().GetResult()));
    }

    /// <summary>
    /// The host gives the turn to whoever waits when a client takes nothing of its complete answer for a quarter of a second.
    /// </summary>
    [HostFact]
    public async Task A_handler_that_waits_for_long_keeps_its_answer_and_holds_up_nobody()
    {
        LlamaCppClientOptions options = Options();
        using LlamaCppStreamingClient slow = await ConnectAsync(options);
        using LlamaCppStreamingClient other =
            await ConnectAsync(options with { AttachToRunningHost = HostAttachMode.Attach });
        string expected = await slow.SendRequestAsync(Question);
        foreach (bool isBlocking in (bool[])[true, false])
        {
            HeldUpdates held = null!;
            Assert.Equal(expected, await AnswerInTurnAsync(async () =>
            {
                held = new HeldUpdates();
                slow.OnStreamUpdate += held.Take;
                try
                {
                    Task<string> answer = isBlocking
                        ? Blocking(() => slow.SendStreamingRequest(Question))
                        : Task.Run(() => slow.SendStreamingRequestAsync(Question)); // without a context
                    await held.HasBegun;
                    Assert.Equal(expected, await AnswerInTurnAsync(() => other.SendRequestAsync(Question)));
                    held.LetGo();
                    return await answer;
                }
                finally
                {
                    slow.OnStreamUpdate -= held.Take;
                }
            }));
            Assert.Equal(expected, string.Concat(held.Updates.Select(update => update.NewText)));
            Assert.True(held.Updates[^1].IsComplete);
        }
    }

    private static async Task<T> OnUi<T>(UiThread ui, Func<T> function)
    {
        T result = default!;
        await ui.InvokeAsync(() => result = function());
        return result;
    }

    /// <summary>A handler that stays in its first update until it is let go.</summary>
    private sealed class HeldUpdates
    {
        private readonly TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource letGo = new(TaskCreationOptions.RunContinuationsAsynchronously);

        internal Task HasBegun => begun.Task;

        internal List<StreamUpdateEventArgs> Updates { get; } = [];

        internal void LetGo() => letGo.SetResult();

        internal void Take(object? sender, StreamUpdateEventArgs update)
        {
            Updates.Add(update);
            begun.TrySetResult();
            letGo.Task.Wait();
        }
    }

    private static T Read<T>(UiThread ui, Func<T> function)
    {
        T result = default!;
        ui.Run(() => result = function());
        return result;
    }
}
