// The C# code of dotnet/README.md, word for word. That this file compiles is the test; ReadmeTests runs it and compares
// the text.
using System.Windows.Controls;

namespace LlamaIpc.Tests;

internal static class ReadmeExamples
{
    // ---- LlamaClient ----

    internal static async Task AskAsync()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync();

        Console.WriteLine(await client.AskAsync("What is C++?"));
    }

    internal static async Task StreamAsync(LlamaClient client, Func<bool> enough, CancellationToken cancellationToken)
    {
        await foreach (string piece in client.StreamAsync("Explain C++ pointers in detail", cancellationToken))
        {
            Console.Write(piece);
            if (enough())
            {
                break;
            }
        }
    }

    internal static void OnOwnThread(LlamaClient client)
    {
        using LlamaStream stream = client.OpenStream("Explain C++ pointers in detail");
        foreach (string piece in stream.ReadAll())
        {
            Console.Write(piece);
        }
    }

    internal static async Task<LlamaRequest> ConversationAsync(LlamaClient client, CancellationToken cancellationToken)
    {
        var request = new LlamaRequest
        {
            Messages =
            [
                LlamaMessage.System("You are a helpful tutor"),
                LlamaMessage.User("What is C++?"),
                LlamaMessage.Assistant("A programming language."),
                LlamaMessage.User("What is a pointer?"),
            ],
            MaxTokens = 200,
            Temperature = 0.2f,
            Stops = ["\n\n"],
        };
        string answer = await client.AskAsync(request, cancellationToken);
        return answer.Length > 0 ? request : throw new InvalidOperationException("no answer");
    }

    internal static async Task DetailsAsync(
        LlamaClient client, LlamaRequest request, CancellationToken cancellationToken)
    {
        using LlamaStream stream = client.OpenStream(request);
        await foreach (string piece in stream.ReadAllAsync(cancellationToken))
        {
            Console.Write(piece);
        }
        LlamaResult result = stream.Result!;
        Console.WriteLine($" [{result.End}: {result.Tokens} tokens, {result.TokensPerSecond:F0} a second]");
        foreach (LlamaToken token in stream.GetTokens())
        {
            Console.WriteLine($"{token.Id} after {token.Time.TotalMilliseconds:F1} ms");
        }
    }

    internal static Action Frames(LlamaStream stream, TextBox answerBox, Label statusLabel)
    {
        void OnFrame()
        {
            if (stream.TryRead(out string? piece))
            {
                answerBox.Text += piece;
            }
            LlamaProgress progress = stream.Progress;
            statusLabel.Text = progress.State switch
            {
                LlamaStreamState.Queued => $"{progress.QueuePosition} before this one",
                LlamaStreamState.Reading => $"Reading: {progress.PromptTokensDone} of {progress.PromptTokens}",
                LlamaStreamState.Generating => $"{progress.Tokens} tokens",
                LlamaStreamState.Recovering => $"One moment, then it goes on ({progress.Tokens} tokens)",
                _ => $"{progress.End}, {progress.Tokens} tokens",
            };
        }
        return OnFrame;
    }

    internal static async Task FindAgainAsync(LlamaClient client, LlamaRequest request)
    {
        LlamaStream stream = client.OpenStream(request with { Detachable = true });
        long offset = stream.Offset;
        string id = stream.Detach();

        using LlamaStream again = client.Attach(id, offset);
        await foreach (string piece in again)
        {
            Console.Write(piece);
        }
    }

    internal static async Task ConnectAsync(Label statusLabel, CancellationToken cancellationToken)
    {
        var options = new LlamaClientOptions
        {
            InstanceName = "my_application",
            Start = HostStart.WithMe,
            HostPath = "./build/chatbot",
            ModelPath = "models/my-model.gguf",
            HostArguments = ["--ctx-size", "8192"],
            WakesPerSecond = 30,
        };
        var loading = new Progress<LlamaHostStatus>(
            status => statusLabel.Text = $"{status.State}: {100 * status.LoadProgress:F0} %");
        await using LlamaClient client = await LlamaClient.ConnectAsync(options, loading, cancellationToken);
    }

    internal static async Task LoadModelAsync(
        LlamaClient client, Label statusLabel, CancellationToken cancellationToken)
    {
        var loading = new Progress<LlamaHostStatus>(
            status => statusLabel.Text = $"{status.State}: {100 * status.LoadProgress:F0} %");
        await client.LoadModelAsync("models/another-model.gguf", loading, cancellationToken);
        statusLabel.Text = client.Status.Model;
    }

    internal static async Task FailuresAsync(
        LlamaClient client, LlamaRequest request, CancellationToken cancellationToken)
    {
        try
        {
            Console.WriteLine(await client.AskAsync(request, cancellationToken));
        }
        catch (RequestCanceledException e)
        {
            Console.WriteLine($"{e.PartialResponse} [cancelled]");
        }
        catch (AnswerTruncatedException e)
        {
            Console.WriteLine($"{e.PartialResponse} [{e.End}]");
        }
        catch (HostGoneException e)
        {
            Console.WriteLine($"{e.PartialResponse} [{e.Message}]"); // connect again for a new host
        }
    }

    // ---- The class of the guide ----

    internal static string AtOnce()
    {
        using var client = new LlamaCppStreamingClient();
        client.Initialize("./build/chatbot");

        string answer = client.SendRequest("What is C++?", "You are a helpful tutor");
        Console.WriteLine(answer);
        return answer;
    }

    internal static string Events(LlamaCppStreamingClient client)
    {
        client.OnStreamUpdate += (sender, e) =>
        {
            Console.Write(e.NewText);          // what came since the last update
            int soFar = e.PartialResponse.Length; // the whole text so far is there too
            if (e.IsComplete)
            {
                Console.WriteLine($" [{e.TokensGenerated} tokens, {soFar} characters]");
            }
        };
        string answer = client.SendStreamingRequest("Explain C++ pointers in detail", "You are a helpful tutor");
        return answer;
    }

    internal static async Task LoopAsync(
        LlamaCppStreamingClient client, Func<bool> enough, CancellationToken cancellationToken)
    {
        await foreach (string piece in client.StreamAsync("What is C++?", "You are a helpful tutor", cancellationToken))
        {
            Console.Write(piece);
            if (enough())
            {
                break;
            }
        }
    }

    internal static async Task WindowAsync(
        LlamaCppStreamingClient client,
        TextBox questionBox,
        TextBox answerBox,
        Label statusLabel,
        CancellationToken cancellationToken)
    {
        await client.InitializeAsync("./build/chatbot", cancellationToken);

        client.OnStreamUpdate += (sender, e) =>
        {
            answerBox.Text = e.PartialResponse;
            statusLabel.Text = $"{e.TokensGenerated} tokens";
        };
        try
        {
            await client.SendStreamingRequestAsync(questionBox.Text, "You are a helpful tutor", cancellationToken);
        }
        catch (RequestCanceledException e)
        {
            statusLabel.Text = $"Cancelled after {e.TokensGenerated} tokens";
        }
    }

    internal static void Options(LlamaCppStreamingClient client, CancellationToken cancellationToken)
    {
        var options = new LlamaCppClientOptions
        {
            ExecutablePath = "./build/chatbot",
            ModelPath = "models/my-model.gguf",
            ExtraArguments = ["--temp", "0", "--ctx-size", "8192"],
            InstanceName = "my_application",
            AttachToRunningHost = HostAttachMode.AttachOrStart,
            ConnectTimeout = TimeSpan.FromMinutes(10),
            RequestTimeout = TimeSpan.FromMinutes(2),
            UpdatesPerSecond = 30,
        };
        client.Initialize(options, cancellationToken);
    }

    internal static void Errors(
        LlamaCppStreamingClient client, LlamaCppClientOptions options, CancellationToken cancellationToken)
    {
        try
        {
            Console.WriteLine(client.SendRequest("What is C++?", "", cancellationToken));
        }
        catch (HostGoneException e)
        {
            Console.WriteLine($"{e.Message} (exit code {e.HostExitCode}); it had said: {e.PartialResponse}");
            client.Initialize(options); // a new host; what the old one left is taken over
        }
    }
}
