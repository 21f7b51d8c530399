// The library in a program of the .NET Framework: the guide's class, an answer of the modern channel, one through IChatClient, and
// one that is stopped.
//   FrameworkConsole [HOST PROGRAM]
using System;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;
using LlamaIpc;
using Microsoft.Extensions.AI;

internal static class Program
{
    private static async Task Main(string[] args)
    {
        string host = args.Length > 0 ? args[0] : "chatbot";
        Console.WriteLine($"{RuntimeInformation.FrameworkDescription}, {Environment.OSVersion.Platform}");
        AskWithTheGuidesClass(host);

        var options = new LlamaClientOptions { HostPath = host };
        await using LlamaClient client = await LlamaClient.ConnectAsync(options);
        Console.WriteLine($"{client.Status.State}: {client.Status.Model}");
        Console.WriteLine(await client.AskAsync("What is C++?"));
        using (IChatClient chat = client.AsIChatClient())
        {
            Console.WriteLine((await chat.GetResponseAsync("What is C++?")).Text);
        }
        await StopAnAnswerAsync(client);
    }

    private static void AskWithTheGuidesClass(string host)
    {
        using var client = new LlamaCppStreamingClient();
        client.OnStreamUpdate += (sender, e) => Console.Write(e.IsComplete ? $"{e.NewText}\n" : e.NewText);
        client.Initialize(host);
        client.SendStreamingRequest("What is C++?");
    }

    private static async Task StopAnAnswerAsync(LlamaClient client)
    {
        using var stop = new CancellationTokenSource();
        var endless = new LlamaRequest("What is C++?") { IgnoreEos = true };
        try
        {
            await foreach (string piece in client.StreamAsync(endless, stop.Token))
            {
                stop.Cancel();
            }
        }
        catch (RequestCanceledException e)
        {
            Console.WriteLine(e.PartialResponse.Length > 0 ? "Stopped." : "Stopped before it had begun.");
        }
    }
}
