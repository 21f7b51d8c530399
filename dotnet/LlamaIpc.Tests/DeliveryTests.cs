// A window whose drawing is slower than the model: its thread is given back between pieces, in each way of reading, and in
// the end the text is whole.
using System.Diagnostics;
using System.Text;
using Microsoft.Extensions.AI;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class DeliveryTests
{
    private const string Question = "What is C++?";

    /// <summary>A token each half millisecond, and for each piece that is drawn a hold-up of five.</summary>
    private const int TokensPerSecond = 2000;
    private const int DrawingMs = 5;
    private const int Words = 1500;

    [HostFact]
    public async Task A_loop_gives_the_thread_back_between_pieces()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(Words), TokensPerSecond);
        using SlowWindow window = new();
        await window.RunAsync(async () =>
        {
            await foreach (string piece in replay.Client.StreamAsync(Question))
            {
                window.Draw(piece);
            }
        });
        window.AssertFluent(replay.Text);
    }

    [HostFact]
    public async Task A_loop_over_a_stream_that_is_long_complete_gives_the_thread_back_too()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(Words), rate: 0);
        using LlamaStream stream = replay.Client.OpenStream(Question);
        await EventuallyAsync(() => stream.Progress.State == LlamaStreamState.Ended, "the answer is complete");
        using SlowWindow window = new();
        await window.RunAsync(async () =>
        {
            await foreach (string piece in stream)
            {
                window.Draw(piece);
            }
        });
        window.AssertFluent(replay.Text);
        Assert.Equal(1, window.Pieces);
    }

    [HostFact]
    public async Task Looking_as_long_as_there_is_something_gives_the_thread_back()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(Words), TokensPerSecond);
        using SlowWindow window = new();
        using LlamaStream stream = replay.Client.OpenStream(Question);
        await window.RunAsync(async () =>
        {
            while (stream.Result is null)
            {
                while (stream.TryRead(out string? piece))
                {
                    window.Draw(piece);
                }
                await Task.Delay(10);
            }
        });
        window.AssertFluent(replay.Text, isPaced: false);
    }

    public static TheoryData<string> OtherWays => ["parts", "a conversation", "a connection", "a chat client", "a view model"];

    [HostTheory]
    [MemberData(nameof(OtherWays))]
    public async Task Each_other_way_of_reading_gives_the_thread_back_between_pieces(string way)
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(Words), TokensPerSecond);
        using SlowWindow window = new();
        await window.RunAsync(async () =>
        {
            using LlamaStream stream = replay.Client.OpenStream(Question);
            await using LlamaConnection connection = new(replay.Options with { Start = HostStart.Never });
            using IChatClient chat = replay.Client.AsIChatClient();
            Task reading = way switch
            {
                "parts" => DrawEachAsync(stream.ReadPartsAsync(), part => part.Text),
                "a conversation" => DrawEachAsync(new LlamaConversation(replay.Client).StreamAsync(Question), piece => piece),
                "a connection" => DrawEachAsync(connection.StreamAsync(new LlamaRequest(Question)), piece => piece),
                "a chat client" => DrawEachAsync(chat.GetStreamingResponseAsync(Question), update => update.Text),
                _ => ShowAsync(),
            };
            await reading;
        });
        window.AssertFluent(replay.Text);

        async Task DrawEachAsync<T>(IAsyncEnumerable<T> pieces, Func<T, string> textOf)
        {
            await foreach (T piece in pieces)
            {
                if (textOf(piece).Length > 0)
                {
                    window.Draw(textOf(piece));
                }
            }
        }

        async Task ShowAsync()
        {
            using ChatViewModel viewModel = new(replay.Client) { Input = Question };
            Task sending = viewModel.SendAsync();
            ChatMessageViewModel answer = viewModel.Messages[^1];
            int drawn = 0;
            answer.PropertyChanged += (_, change) =>
            {
                if (change.PropertyName == nameof(answer.Text))
                {
                    string text = answer.Text;
                    window.Draw(text[drawn..]);
                    drawn = text.Length;
                }
            };
            await sending;
        }
    }

    [HostFact]
    public async Task Who_looks_without_ever_going_back_to_the_message_loop_gets_the_whole_text()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(Words), TokensPerSecond);
        using UiThread ui = new();
        using LlamaStream stream = replay.Client.OpenStream(Question);
        StringBuilder text = new();
        await ui.InvokeAsync(() =>
        {
            while (stream.Result is null)
            {
                if (stream.TryRead(out string? piece))
                {
                    text.Append(piece);
                }
            }
        });
        Assert.Equal(replay.Text, text.ToString());
    }

    [HostFact]
    public async Task Events_give_the_thread_back_between_updates()
    {
        using TemporaryFolder folder = new();
        string text = Words6(4000);
        string path = Path.Combine(folder.Path, "answer.txt");
        await File.WriteAllTextAsync(path, text);
        using LlamaCppStreamingClient client = await ConnectAsync(
            Options("--replay", path, "--rate", $"{TokensPerSecond}"));
        using SlowWindow window = new();
        client.OnStreamUpdate += (_, update) => window.Draw(update.NewText);
        await window.RunAsync(async () => await client.SendStreamingRequestAsync(Question));
        window.AssertFluent(text);
    }

    [HostTheory]
    [InlineData(1)]
    [InlineData(400)] // more than the guide's channel has room for
    public async Task A_slow_handler_of_a_blocking_call_is_given_frames_of_rest(int questions)
    {
        const int Enough = 5;
        using TemporaryFolder folder = new();
        string path = Path.Combine(folder.Path, "answer.txt");
        await File.WriteAllTextAsync(path, Words6(4000));
        using LlamaCppStreamingClient client = await ConnectAsync(Options("--replay", path, "--rate", "200"));
        using CancellationTokenSource cancel = new();
        List<TimeSpan> rests = [];
        long ended = 0;
        client.OnStreamUpdate += (_, e) =>
        {
            if (ended != 0)
            {
                rests.Add(Stopwatch.GetElapsedTime(ended));
            }
            if (rests.Count == Enough || e.IsComplete)
            {
                cancel.Cancel();
            }
            Thread.Sleep(2 * FramePace.FrameMs);
            ended = Stopwatch.GetTimestamp();
        };
        string question = string.Concat(Enumerable.Repeat(Question + " ", questions));
        await Assert.ThrowsAsync<RequestCanceledException>(
            () => Blocking(() => client.SendStreamingRequest(question, "", cancel.Token)));
        Assert.Equal(Enough, rests.Count);
        Assert.All(rests, rest => Assert.True(rest.TotalMilliseconds >= FramePace.FrameMs, $"{rest}"));
    }

    [HostFact]
    public async Task A_loop_of_the_guides_class_gives_the_thread_back_between_pieces()
    {
        using TemporaryFolder folder = new();
        string text = Words6(4000);
        string path = Path.Combine(folder.Path, "answer.txt");
        await File.WriteAllTextAsync(path, text);
        using LlamaCppStreamingClient client = await ConnectAsync(
            Options("--replay", path, "--rate", $"{TokensPerSecond}"));
        using SlowWindow window = new();
        await window.RunAsync(async () =>
        {
            await foreach (string piece in client.StreamAsync(Question))
            {
                window.Draw(piece);
            }
        });
        window.AssertFluent(text);
    }

    [HostFact]
    public async Task Cancelling_ends_a_window_s_rest()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(Words), rate: 20);
        using SlowWindow window = new();
        using CancellationTokenSource cancel = new();
        await window.RunAsync(async () =>
        {
            RequestCanceledException e = await Assert.ThrowsAsync<RequestCanceledException>(async () =>
            {
                await foreach (string piece in replay.Client.StreamAsync(Question, cancel.Token))
                {
                    window.Draw(piece);
                    cancel.Cancel();
                }
            });
            Assert.StartsWith(window.Text, e.PartialResponse, StringComparison.Ordinal);
        });
    }

    [HostFact]
    public async Task Few_wakes_are_few_pieces_also_for_a_reader_that_is_slower_than_the_model()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(Words), TokensPerSecond, wakesPerSecond: 30);
        await Task.Run(async () =>
        {
            Stopwatch watch = Stopwatch.StartNew();
            StringBuilder joined = new();
            int pieces = 0;
            await foreach (string piece in replay.Client.StreamAsync(Question))
            {
                pieces++;
                joined.Append(piece);
                Thread.Sleep(DrawingMs);
            }
            Assert.Equal(replay.Text, joined.ToString());
            // The first and the last besides those that the clock allows.
            long most = 2 + (30 * watch.ElapsedMilliseconds / 1000);
            Assert.True(pieces <= most, $"{pieces} pieces in {watch.ElapsedMilliseconds} ms");
        });
    }

    /// <summary>A text of so many words of six bytes, short enough for the classic channel.</summary>
    private static string Words6(int count) => string.Concat(Enumerable.Range(1000, count).Select(i => $"w{i} "));

    /// <summary>A window that takes its time to draw, and counts the turns of its message loop meanwhile.</summary>
    private sealed class SlowWindow : IDisposable
    {
        private readonly UiThread ui = new();
        private readonly StringBuilder text = new();
        private readonly List<int> drawnIn = [];
        private readonly Stopwatch watch = new();
        private int turns;

        internal string Text => text.ToString();

        internal int Pieces => drawnIn.Count;

        public void Dispose() => ui.Dispose();

        internal void Draw(string piece)
        {
            Assert.Equal(ui.ThreadId, Environment.CurrentManagedThreadId);
            drawnIn.Add(turns);
            text.Append(piece);
            Thread.Sleep(DrawingMs);
            ui.Post(_ => turns++, null); // what else a window has to do
        }

        /// <summary>Runs something that reads on the window's thread.</summary>
        internal async Task RunAsync(Func<Task> reading)
        {
            Task done = null!;
            watch.Start();
            await ui.InvokeAsync(() => done = reading());
            await done;
            Assert.Empty(ui.Unhandled);
        }

        /// <summary>
        /// The text is whole, something else had its turn between any two pieces, and there was at most one piece for each
        /// frame of the time that it took. Holds on a machine of any speed.
        /// </summary>
        internal void AssertFluent(string expected, bool isPaced = true)
        {
            Assert.Equal(expected, Text);
            Assert.Equal(drawnIn.Count, drawnIn.Distinct().Count());
            long most = isPaced ? 2 + (watch.ElapsedMilliseconds / FramePace.FrameMs) : long.MaxValue;
            Assert.True(Pieces <= most, $"{Pieces} pieces in {watch.ElapsedMilliseconds} ms");
        }
    }
}
