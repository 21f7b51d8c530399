// How long each documented way of reading holds up a window's thread at 2,000 tokens a second and 5 ms for each drawing.
using System.Diagnostics;
using System.Text;

namespace LlamaIpc.Bench;

internal static class WindowRows
{
    private const int DrawingMs = 5;
    private const int Words = 4000;

    private static readonly string Text = string.Concat(Enumerable.Range(1000, Words).Select(i => $"w{i} "));

    internal static async Task<int> RunAsync()
    {
        using ReplayFile file = new(Text, rate: 2000);
        await using LlamaClient client = await LlamaClient.ConnectAsync(file.Options);
        (string Name, Func<Drawing, Task> Read)[] ways =
        [
            ("`await foreach` over `StreamAsync`", drawing => EachAsync(client.StreamAsync("Hello"), drawing)),
            ("`ReadPartsAsync`", drawing => PartsAsync(client, drawing)),
            ("`while (TryRead)`, once for each frame", drawing => FramesAsync(client, drawing)),
            ("`LlamaConversation`", drawing => EachAsync(new LlamaConversation(client).StreamAsync("Hello"), drawing)),
            ("`ChatViewModel`", drawing => ViewModelAsync(client, drawing)),
            ("the guide's `OnStreamUpdate`", drawing => GuideAsync(file, drawing)),
        ];
        using (Window window = new())
        {
            await window.RunAsync(() => ways[0].Read(new Drawing())); // so that what is compiled only once is
        }
        bool isWhole = true;
        Console.WriteLine("| way of reading | longest hold-up beyond one drawing | drawings | time | text |\n| --- | --- | --- | --- | --- |");
        foreach ((string name, Func<Drawing, Task> read) in ways)
        {
            using Window window = new();
            Drawing drawing = new();
            Stopwatch watch = Stopwatch.StartNew();
            await window.RunAsync(() => read(drawing));
            double beyond = (window.Longest - drawing.Longest).TotalMilliseconds;
            bool isSame = drawing.Text == Text;
            isWhole &= isSame;
            Console.WriteLine(
                $"| {name} | {Math.Max(0, beyond):F1} ms | {drawing.Count} | {watch.ElapsedMilliseconds} ms | {(isSame ? "whole" : "NOT WHOLE")} |");
        }
        return isWhole ? 0 : 1;
    }

    private static async Task EachAsync(IAsyncEnumerable<string> pieces, Drawing drawing)
    {
        await foreach (string piece in pieces)
        {
            drawing.Draw(piece);
        }
    }

    private static async Task PartsAsync(LlamaClient client, Drawing drawing)
    {
        using LlamaStream stream = client.OpenStream("Hello");
        await foreach (LlamaPart part in stream.ReadPartsAsync())
        {
            drawing.Draw(part.Text);
        }
    }

    private static async Task FramesAsync(LlamaClient client, Drawing drawing)
    {
        using LlamaStream stream = client.OpenStream("Hello");
        while (stream.Result is null)
        {
            while (stream.TryRead(out string? piece))
            {
                drawing.Draw(piece);
            }
            await Task.Delay(16);
        }
    }

    private static async Task ViewModelAsync(LlamaClient client, Drawing drawing)
    {
        using ChatViewModel viewModel = new(client) { Input = "Hello" };
        Task sending = viewModel.SendAsync();
        ChatMessageViewModel answer = viewModel.Messages[^1];
        answer.PropertyChanged += (_, change) =>
        {
            if (change.PropertyName == nameof(answer.Text))
            {
                drawing.Draw(answer.Text[drawing.Text.Length..]);
            }
        };
        await sending;
    }

    private static async Task GuideAsync(ReplayFile file, Drawing drawing)
    {
        using LlamaCppStreamingClient client = new();
        await client.InitializeAsync(new LlamaCppClientOptions
        {
            InstanceName = file.Options.InstanceName,
            AttachToRunningHost = HostAttachMode.Attach,
        });
        client.OnStreamUpdate += (_, update) => drawing.Draw(update.NewText);
        await client.SendStreamingRequestAsync("Hello");
    }

    /// <summary>What the window shows; showing more takes its time.</summary>
    private sealed class Drawing
    {
        private readonly StringBuilder text = new();

        internal string Text => text.ToString();

        internal int Count { get; private set; }

        internal TimeSpan Longest { get; private set; }

        internal void Draw(string piece)
        {
            long started = Stopwatch.GetTimestamp();
            Count++;
            text.Append(piece);
            Thread.Sleep(DrawingMs);
            TimeSpan taken = Stopwatch.GetElapsedTime(started);
            Longest = taken > Longest ? taken : Longest;
        }
    }
}
