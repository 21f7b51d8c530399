// IChatClient over a host.
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.Extensions.AI;

namespace LlamaIpc;

/// <summary>
/// A chat client of Microsoft.Extensions.AI whose model runs in a host. Any number of requests may be under way at a time,
/// from any thread.
/// </summary>
/// <remarks>
/// <para>
/// What the host cannot do is refused with a <see cref="NotSupportedException"/> that names it; nothing is left out in
/// silence. Failures are those of <see cref="LlamaClient"/>: a host that is killed, for instance, is a
/// <see cref="HostGoneException"/>. An answer that is not whole has the finish reason
/// <see cref="ChatFinishReason.Length"/>.
/// </para>
/// <para>
/// By default the client keeps nothing: each request brings its whole conversation, of which the host evaluates only what
/// is new. With <see cref="ChatOptions.ConversationId"/> from <see cref="CreateConversation"/> the client keeps the
/// conversation, and a request brings only what is new.
/// </para>
/// </remarks>
public sealed class LlamaChatClient : IChatClient
{
    private readonly ConcurrentDictionary<string, Conversation> conversations = new();
    private readonly Func<CancellationToken, ValueTask<LlamaClient>> connect;
    private readonly Func<LlamaClient?> current;
    private readonly IDisposable? owned;

    /// <summary>Makes a chat client of a client.</summary>
    /// <param name="client">The client.</param>
    /// <param name="ownsClient">Whether the client is disposed with this one.</param>
    public LlamaChatClient(LlamaClient client, bool ownsClient = false)
    {
        ArgumentNullException.ThrowIfNull(client);
        connect = _ => new ValueTask<LlamaClient>(client);
        current = () => client;
        owned = ownsClient ? client : null;
    }

    /// <summary>Makes a chat client that connects when it is first used, and again after its host has gone.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="ownsConnection">Whether the connection is closed with this client.</param>
    public LlamaChatClient(LlamaConnection connection, bool ownsConnection = false)
    {
        ArgumentNullException.ThrowIfNull(connection);
        connect = connection.GetAsync;
        current = () => connection.Current;
        owned = ownsConnection ? connection : null;
    }

    /// <inheritdoc/>
    public Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default) =>
        GetStreamingResponseAsync(messages, options, cancellationToken).ToChatResponseAsync(cancellationToken);

    /// <inheritdoc/>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);

        // Made now: what the caller gave may change as soon as this has returned.
        List<ChatMessage> sent = [.. messages];
        Conversation? conversation = options?.ConversationId is string id ? Find(id) : null;
        LlamaRequest request = ChatRequests.Of(conversation?.With(sent) ?? sent, options, this);
        return AnswerAsync(request, sent, conversation, options?.ModelId, cancellationToken);
    }

    /// <summary>
    /// Begins a conversation that this client keeps, until <see cref="RemoveConversation"/> or its own end.
    /// </summary>
    /// <returns>Its id, for <see cref="ChatOptions.ConversationId"/>.</returns>
    public string CreateConversation()
    {
        Conversation conversation = new(Guid.NewGuid().ToString("N"));
        conversations[conversation.Id] = conversation;
        return conversation.Id;
    }

    /// <summary>Forgets a conversation.</summary>
    /// <param name="id">Its id.</param>
    /// <returns>Whether there was one.</returns>
    public bool RemoveConversation(string id) => conversations.TryRemove(id, out _);

    /// <inheritdoc/>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        if (serviceKey != null)
        {
            return null;
        }
        return serviceType == typeof(ChatClientMetadata) ? new ChatClientMetadata("lipc", null, current()?.Status.Model)
            : serviceType == typeof(LlamaClient) ? current()
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    /// <inheritdoc/>
    public void Dispose() => owned?.Dispose();

    private async IAsyncEnumerable<ChatResponseUpdate> AnswerAsync(
        LlamaRequest request,
        List<ChatMessage> sent,
        Conversation? conversation,
        string? modelId,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        LlamaClient client = await connect(cancellationToken).ConfigureAwait(false);
        string model = client.Status.Model;
        RefuseOtherModel(modelId, model);
        Answer answer = new(model, conversation?.Id);
        long started = Stopwatch.GetTimestamp();
        using LlamaStream stream = client.OpenStream(request);
        List<AIContent> calls = [];
        StringBuilder thought = new();
        GrowingCall? call = null;
        await foreach (LlamaPart part in stream.ReadPartsAsync(cancellationToken).ConfigureAwait(false))
        {
            if (call != null && call.Takes(part))
            {
                continue;
            }
            if (call?.ToContent() is FunctionCallContent whole)
            {
                calls.Add(whole);
                yield return answer.Update(whole);
            }
            call = part.Kind == LlamaPartKind.Call ? new GrowingCall(part) : null;
            if (part is { Kind: LlamaPartKind.Text, Text.Length: > 0 })
            {
                yield return answer.Update(new TextContent(part.Text));
            }
            else if (part is { Kind: LlamaPartKind.Thought, Text.Length: > 0 })
            {
                thought.Append(part.Text);
                yield return answer.Update(new TextReasoningContent(part.Text));
            }
        }
        if (call?.ToContent() is FunctionCallContent last)
        {
            calls.Add(last);
            yield return answer.Update(last);
        }
        LlamaResult result = stream.Result!;
        conversation?.Add(sent, MessageOf(thought.ToString(), result.Text, calls));
        ChatMetrics.Record(result, model, Stopwatch.GetElapsedTime(started));
        ChatResponseUpdate end = answer.Update(new UsageContent(UsageOf(result, stream.Progress)));
        end.FinishReason = FinishOf(result, hasCalls: calls.Count > 0);
        end.RawRepresentation = result;
        yield return end;
    }

    private Conversation Find(string id) => conversations.TryGetValue(id, out Conversation? found)
        ? found
        : throw new ArgumentException(
            $"There is no conversation '{id}': ChatOptions.ConversationId takes what CreateConversation of this client returned.");

    /// <summary>A request for another model than the host has is not answered by that.</summary>
    private static void RefuseOtherModel(string? asked, string model)
    {
        if (asked != null && asked != model)
        {
            throw new NotSupportedException(
                $"ChatOptions.ModelId is '{asked}', and the host has the model '{model}': change it with LlamaClient.LoadModelAsync.");
        }
    }

    private static ChatFinishReason FinishOf(LlamaResult result, bool hasCalls) =>
        result.End is not (LlamaEnd.Turn or LlamaEnd.Stop) ? ChatFinishReason.Length
            : hasCalls ? ChatFinishReason.ToolCalls
            : ChatFinishReason.Stop;

    /// <summary>An answer as a message of the history.</summary>
    private static ChatMessage MessageOf(string thought, string text, List<AIContent> calls)
    {
        List<AIContent> contents = [];
        if (thought.Length > 0)
        {
            contents.Add(new TextReasoningContent(thought));
        }
        if (text.Length > 0)
        {
            contents.Add(new TextContent(text));
        }
        contents.AddRange(calls);
        return new ChatMessage(ChatRole.Assistant, contents);
    }

    private static UsageDetails UsageOf(LlamaResult result, LlamaProgress progress) => new()
    {
        InputTokenCount = result.PromptTokens,
        CachedInputTokenCount = progress.PromptTokensCached,
        OutputTokenCount = result.Tokens,
        TotalTokenCount = (long)result.PromptTokens + result.Tokens,
    };

    /// <summary>What all updates of an answer have in common.</summary>
    private sealed class Answer(string model, string? conversationId)
    {
        private readonly string id = Guid.NewGuid().ToString("N");
        private readonly DateTimeOffset createdAt = DateTimeOffset.UtcNow;

        internal ChatResponseUpdate Update(AIContent content) => new(ChatRole.Assistant, [content])
        {
            ResponseId = id,
            MessageId = id,
            ConversationId = conversationId,
            ModelId = model,
            CreatedAt = createdAt,
        };
    }

    /// <summary>A conversation that the client keeps.</summary>
    private sealed class Conversation(string id)
    {
        private readonly List<ChatMessage> messages = [];

        internal string Id => id;

        internal List<ChatMessage> With(IEnumerable<ChatMessage> further)
        {
            lock (messages)
            {
                return [.. messages, .. further];
            }
        }

        /// <summary>A turn is kept when it is whole: what was asked, and the answer.</summary>
        internal void Add(List<ChatMessage> asked, ChatMessage answer)
        {
            lock (messages)
            {
                messages.AddRange(asked.Select(message => message.Clone()));
                messages.Add(answer);
            }
        }
    }
}
