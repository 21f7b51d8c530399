// A web application that relays answers to a browser as server-sent events. The options of the host are those of the
// section "Llama" in the configuration: `--Llama:ModelPath my-model.gguf`.
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using LlamaIpc;
using Microsoft.Extensions.AI;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.Services.AddLlamaIpcChatClient(builder.Configuration.GetSection("Llama"));
builder.Services.AddHealthChecks().AddLlamaIpc();

WebApplication app = builder.Build();
app.UseDefaultFiles();
app.UseStaticFiles();
app.MapHealthChecks("/health");

// A browser that leaves, or whose user presses Stop, aborts the request: its token is cancelled, and with it the model's work.
app.MapPost("/chat", (ChatMessage[] messages, IChatClient chat, CancellationToken cancellationToken) =>
    TypedResults.ServerSentEvents(AnswerAsync(messages, chat, cancellationToken)));
app.Run();

static async IAsyncEnumerable<SseItem<string>> AnswerAsync(
    ChatMessage[] messages, IChatClient chat, [EnumeratorCancellation] CancellationToken cancellationToken)
{
    await using IAsyncEnumerator<ChatResponseUpdate> updates =
        chat.GetStreamingResponseAsync(messages, cancellationToken: cancellationToken).GetAsyncEnumerator(cancellationToken);
    while (true)
    {
        SseItem<string> item;
        try
        {
            if (!await updates.MoveNextAsync())
            {
                break;
            }
            ChatResponseUpdate update = updates.Current;
            item = update.FinishReason is ChatFinishReason reason
                ? new SseItem<string>(reason.Value, "end")
                : new SseItem<string>(update.Text, "text");
        }
        catch (LlamaIpcException e)
        {
            // The answer has begun: what went wrong comes as its last event.
            item = new SseItem<string>(e.Message, "failure");
        }
        yield return item;
        if (item.EventType == "failure")
        {
            break;
        }
    }
}
