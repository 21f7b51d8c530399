// A conversation in a console: progress while the model loads, the answer as it grows, Ctrl-C to cancel it.
//
// Usage: ModernConsole [HOST [ARGUMENT...]]
// HOST is the host program, ./build/chatbot by default; the arguments are for it, for instance -m model.gguf. A host
// that runs already is used as it is. The conversation ends with the end of the input, or with Ctrl-C between two
// answers.
using System.Text;
using LlamaIpc;

namespace ModernConsole;

internal static class Program
{
    private const string DefaultHost = "./build/chatbot";

    // Exit codes: what a script that runs the example wants to know.
    private const int Success = 0;
    private const int Failed = 1;
    private const int Cancelled = 130;

    /// <summary>What Ctrl-C cancels; null: the program.</summary>
    private static volatile CancellationTokenSource? interruptible;

    private static async Task<int> Main(string[] arguments)
    {
        Console.OutputEncoding = Encoding.UTF8;
        Console.InputEncoding = Encoding.UTF8;
        Console.CancelKeyPress += (_, e) =>
        {
            e.Cancel = interruptible != null;
            interruptible?.Cancel();
        };

        LlamaClientOptions options = new()
        {
            HostPath = arguments.FirstOrDefault() ?? DefaultHost,
            HostArguments = arguments[Math.Min(1, arguments.Length)..],
        };
        try
        {
            await using LlamaClient client = await ConnectAsync(options);
            await TalkAsync(client);
            return Success;
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine("Cancelled.");
            return Cancelled;
        }
        catch (Exception e) when (e is LlamaIpcException or DllNotFoundException)
        {
            Console.Error.WriteLine($"Error: {e.Message}");
            Console.Error.WriteLine("The host program and the native library are part of the build: run 'make'.");
            return Failed;
        }
    }

    private static async Task<LlamaClient> ConnectAsync(LlamaClientOptions options)
    {
        using CancellationTokenSource cancel = new();
        interruptible = cancel;
        LlamaClient client = await LlamaClient.ConnectAsync(options, new LoadingLine(), cancel.Token);
        interruptible = null;
        return client;
    }

    private static async Task TalkAsync(LlamaClient client)
    {
        List<LlamaMessage> conversation = [];
        while (true)
        {
            Console.Write("> ");
            string? line = await Console.In.ReadLineAsync();
            if (line is null)
            {
                Console.WriteLine();
                return;
            }
            if (!string.IsNullOrWhiteSpace(line))
            {
                conversation.Add(LlamaMessage.User(line));
                conversation.Add(LlamaMessage.Assistant(await AnswerAsync(client, conversation)));
            }
        }
    }

    /// <summary>Writes the answer while it grows, and returns as much of it as there is.</summary>
    private static async Task<string> AnswerAsync(LlamaClient client, List<LlamaMessage> conversation)
    {
        using CancellationTokenSource cancel = new();
        using LlamaStream stream = client.OpenStream(new LlamaRequest { Messages = conversation });
        interruptible = cancel;
        try
        {
            await foreach (string piece in stream.ReadAllAsync(cancel.Token))
            {
                Console.Write(piece);
            }
            LlamaResult result = stream.Result!;
            string whole = result.IsTruncated ? $", not whole: {result.End}" : "";
            Console.WriteLine();
            Console.Error.WriteLine($"[{result.Tokens} tokens, {result.TokensPerSecond:F0} a second{whole}]");
        }
        catch (RequestCanceledException e)
        {
            Console.WriteLine();
            Console.Error.WriteLine($"[cancelled after {e.TokensGenerated} tokens]");
        }
        finally
        {
            interruptible = null;
        }
        return stream.Text;
    }

    /// <summary>One line that is written over while the model loads.</summary>
    private sealed class LoadingLine : IProgress<LlamaHostStatus>
    {
        public void Report(LlamaHostStatus status)
        {
            if (status.State == LlamaHostState.Ready)
            {
                Console.Error.WriteLine($"\r{status.Model}, process {status.ProcessId}");
                return;
            }
            string what = status.State == LlamaHostState.Recovering ? "Recovering, loading" : "Loading";
            Console.Error.Write($"\r{what} the model: {100 * status.LoadProgress:F0} %");
        }
    }
}
