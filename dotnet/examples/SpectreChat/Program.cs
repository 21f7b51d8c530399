// A chat in the terminal with Spectre.Console: SpectreChat [MODEL.gguf]. Ctrl-C stops an answer; an empty line ends.
using LlamaIpc;
using Spectre.Console;

LlamaClientOptions options = new()
{
    InstanceName = Environment.GetEnvironmentVariable("LIPC_NAME") ?? "spectre_chat",
    ModelPath = args.Length > 0 ? args[0] : null,
};
CancellationTokenSource? answering = null;
Console.CancelKeyPress += (_, e) =>
{
    // The first one stops the answer; without one, the program ends as usual.
    if (answering is CancellationTokenSource cancel)
    {
        e.Cancel = true;
        cancel.Cancel();
    }
};
try
{
    await using LlamaClient client = await ConnectAsync(options);
    LlamaConversation conversation = new(client, "You are a helpful tutor");
    AnsiConsole.MarkupLineInterpolated($"[grey]{client.Status.Model}, {client.Status.ContextTokens} tokens of context[/]");
    while (true)
    {
        AnsiConsole.Markup("[bold blue]>[/] ");
        if (Console.ReadLine() is not { Length: > 0 } question)
        {
            return 0;
        }
        using (answering = new CancellationTokenSource())
        {
            await AnswerAsync(conversation, question, answering.Token);
        }
        answering = null;
    }
}
catch (LlamaIpcException e)
{
    AnsiConsole.MarkupLineInterpolated($"[red]{e.Message}[/]");
    return 1;
}

static async Task<LlamaClient> ConnectAsync(LlamaClientOptions options) =>
    await AnsiConsole.Progress().StartAsync(async context =>
    {
        ProgressTask loading = context.AddTask("Loading the model", maxValue: 1);
        LlamaClient client = await LlamaClient.ConnectAsync(
            options, new Progress<LlamaHostStatus>(status => loading.Value = status.LoadProgress));
        loading.Value = 1;
        return client;
    });

static async Task AnswerAsync(LlamaConversation conversation, string question, CancellationToken cancellationToken)
{
    try
    {
        await foreach (string piece in conversation.StreamAsync(question, cancellationToken))
        {
            AnsiConsole.Write(new Text(piece));
        }
        LlamaResult result = conversation.LastResult!;
        AnsiConsole.MarkupLineInterpolated($"[grey] ({result.Tokens} tokens, {result.TokensPerSecond:F0} a second)[/]");
    }
    catch (RequestCanceledException)
    {
        AnsiConsole.MarkupLine("[yellow] (stopped)[/]");
    }
    catch (AnswerTruncatedException e)
    {
        AnsiConsole.MarkupLineInterpolated($"[yellow] ({e.Message})[/]");
    }
}
