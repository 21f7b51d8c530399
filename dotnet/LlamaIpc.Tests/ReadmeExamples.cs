// The C# code of dotnet/README.md, word for word. That this file compiles is the test; ReadmeTests runs it and compares
// the text.
using System.Windows.Controls;

namespace LlamaIpc.Tests;

internal static class ReadmeExamples
{
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
