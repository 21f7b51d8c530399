// The complete example of the streaming guide, as a console program:
//   - streaming mode, shown token by token through events
//   - normal mode, shown at once
//   - error handling, and Ctrl-C to cancel an answer
//   - proper cleanup: a host that the program started ends with it
//
// Usage: CSharpStreamingExample [HOST [QUESTION]]
// HOST is the host program, ./build/chatbot by default.
using System.Diagnostics;
using System.Text;
using LlamaIpc;

namespace CSharpStreamingExample;

internal static class Program
{
    private const string DefaultHost = "./build/chatbot";
    private const string DefaultQuestion = "What is C++?";
    private const string SystemPrompt = "You are a helpful tutor";

    // Exit codes: what a script that runs the example wants to know.
    private const int Success = 0;
    private const int Failed = 1;
    private const int WrongUsage = 2;
    private const int Cancelled = 130;

    private static int Main(string[] arguments)
    {
        if (arguments.Length > 2 || arguments.Any(a => a is "-h" or "--help"))
        {
            Console.Error.WriteLine("Usage: CSharpStreamingExample [HOST [QUESTION]]");
            Console.Error.WriteLine($"HOST is the host program, {DefaultHost} by default.");
            return WrongUsage;
        }
        string host = arguments.ElementAtOrDefault(0) ?? DefaultHost;
        string question = arguments.ElementAtOrDefault(1) ?? DefaultQuestion;
        Console.OutputEncoding = Encoding.UTF8;

        // Ctrl-C cancels what is running; the program then ends the usual way, with its cleanup.
        using CancellationTokenSource cancel = new();
        Console.CancelKeyPress += (_, e) =>
        {
            e.Cancel = true;
            cancel.Cancel();
        };

        try
        {
            Run(host, question, cancel.Token);
            return Success;
        }
        catch (OperationCanceledException)
        {
            Console.WriteLine();
            Console.Error.WriteLine("Cancelled.");
            return Cancelled;
        }
        catch (HostStartException e)
        {
            return Fail(e, $"Is '{host}' the host program? Build it with 'make', or pass its path as the first argument.");
        }
        catch (HostGoneException e)
        {
            return Fail(e, "The host ended in the middle of the work. Run the example again to start a new one.");
        }
        catch (HostTimeoutException e)
        {
            return Fail(e, "A large model takes long to load; LlamaCppClientOptions.ConnectTimeout sets how long to wait.");
        }
        catch (LlamaIpcException e)
        {
            return Fail(e, $"Error {e.Error}.");
        }
        catch (DllNotFoundException e)
        {
            return Fail(e, "The native library is part of the build: run 'make'.");
        }
    }

    private static void Run(string host, string question, CancellationToken cancellationToken)
    {
        using LlamaCppStreamingClient client = new();
        Console.WriteLine($"Connecting to {host} ...");
        client.Initialize(new LlamaCppClientOptions { ExecutablePath = host }, cancellationToken);
        Console.WriteLine($"Connected: host process {client.HostProcessId}.");

        string streamed = ShowStreamingMode(client, question, cancellationToken);
        string whole = ShowNormalMode(client, question, cancellationToken);

        // With temperature 0 the host answers the same question in the same words.
        Console.WriteLine();
        Console.WriteLine(
            streamed == whole
                ? "Both modes gave the same answer."
                : "The two answers differ: they are drawn at random.");
    }

    private static string ShowStreamingMode(
        LlamaCppStreamingClient client, string question, CancellationToken cancellationToken)
    {
        Console.WriteLine();
        Console.WriteLine("=== Streaming mode ===");
        Console.WriteLine($"> {question}");

        Stopwatch watch = Stopwatch.StartNew();
        TimeSpan? first = null;
        int updates = 0;
        int tokens = 0;
        void Show(object? sender, StreamUpdateEventArgs e)
        {
            first ??= watch.Elapsed;
            updates++;
            tokens = e.TokensGenerated;
            Console.Write(e.NewText);
            if (e.IsComplete)
            {
                Console.WriteLine();
            }
        }

        client.OnStreamUpdate += Show;
        try
        {
            string answer = client.SendStreamingRequest(question, SystemPrompt, cancellationToken);
            Console.WriteLine(
                $"[{tokens} tokens in {updates} updates; the first after {first?.TotalMilliseconds:F0} ms, "
                + $"all after {watch.ElapsedMilliseconds} ms]");
            return answer;
        }
        finally
        {
            client.OnStreamUpdate -= Show;
        }
    }

    private static string ShowNormalMode(
        LlamaCppStreamingClient client, string question, CancellationToken cancellationToken)
    {
        Console.WriteLine();
        Console.WriteLine("=== Normal mode ===");
        Console.WriteLine($"> {question}");

        Stopwatch watch = Stopwatch.StartNew();
        string answer = client.SendRequest(question, SystemPrompt, cancellationToken);
        Console.WriteLine(answer);
        Console.WriteLine($"[all after {watch.ElapsedMilliseconds} ms]");
        return answer;
    }

    private static int Fail(Exception e, string advice)
    {
        Console.WriteLine();
        Console.Error.WriteLine($"Error: {e.Message}");
        Console.Error.WriteLine(advice);
        return Failed;
    }
}
