// The complete example of the streaming guide, as a console program:
//   - streaming mode, shown token by token through events
//   - normal mode, shown at once
//   - error handling, and Ctrl-C to cancel an answer
//   - proper cleanup: a host that the program started ends with it
//
// Usage: CSharpStreamingExample [--watch] [HOST [QUESTION]]
// HOST is the host program, ./build/chatbot by default. With --watch the streaming answer is shown at the pace of a fast
// reader: a small model is otherwise done before an eye can follow. The host does not wait for a slow client.
using System.Diagnostics;
using System.Text;
using LlamaIpc;

namespace CSharpStreamingExample;

internal static class Program
{
    private const string DefaultHost = "./build/chatbot";
    private const string DefaultQuestion = "What is C++?";
    private const string SystemPrompt = "You are a helpful tutor";

    /// <summary>After each word, with --watch: 25 words a second.</summary>
    private const int WatchPauseMs = 40;

    // Exit codes: what a script that runs the example wants to know.
    private const int Success = 0;
    private const int Failed = 1;
    private const int WrongUsage = 2;
    private const int Cancelled = 130;

    private static int Main(string[] arguments)
    {
        bool watch = arguments.FirstOrDefault() == "--watch";
        arguments = arguments[(watch ? 1 : 0)..];
        if (arguments.Length > 2 || arguments.Any(a => a is "-h" or "--help"))
        {
            Console.Error.WriteLine("Usage: CSharpStreamingExample [--watch] [HOST [QUESTION]]");
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
            Run(host, question, watch, cancel.Token);
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

    private static void Run(string host, string question, bool watch, CancellationToken cancellationToken)
    {
        using LlamaCppStreamingClient client = new();
        Console.WriteLine($"Connecting to {host} ...");
        client.Initialize(new LlamaCppClientOptions { ExecutablePath = host }, cancellationToken);
        Console.WriteLine($"Connected: host process {client.HostProcessId}.");

        string streamed = ShowStreamingMode(client, question, watch, cancellationToken);
        string whole = ShowNormalMode(client, question, cancellationToken);

        // With temperature 0 the host answers the same question in the same words.
        Console.WriteLine();
        Console.WriteLine(
            streamed == whole
                ? "Both modes gave the same answer."
                : "The two answers differ: they are drawn at random.");
    }

    private static string ShowStreamingMode(
        LlamaCppStreamingClient client, string question, bool watch, CancellationToken cancellationToken)
    {
        Console.WriteLine();
        Console.WriteLine("=== Streaming mode ===");
        Console.WriteLine($"> {question}");

        Stopwatch clock = Stopwatch.StartNew();
        TimeSpan? first = null;
        int updates = 0;
        int tokens = 0;
        void Show(object? sender, StreamUpdateEventArgs e)
        {
            first ??= clock.Elapsed;
            updates++;
            tokens = e.TokensGenerated;
            Write(e.NewText, watch, cancellationToken);
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
                + $"all after {clock.ElapsedMilliseconds} ms]");
            return answer;
        }
        finally
        {
            client.OnStreamUpdate -= Show;
        }
    }

    /// <summary>Writes the text; word by word and with pauses, if somebody watches.</summary>
    private static void Write(string text, bool watch, CancellationToken cancellationToken)
    {
        for (int start = 0; start < text.Length && !cancellationToken.IsCancellationRequested;)
        {
            int space = watch ? text.IndexOf(' ', start + 1) : -1;
            int end = space < 0 ? text.Length : space;
            Console.Write(text[start..end]);
            start = end;
            if (watch)
            {
                cancellationToken.WaitHandle.WaitOne(WatchPauseMs);
            }
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
