// A conversation of several turns.
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;

namespace LlamaIpc;

/// <summary>
/// A conversation that remembers what was said. Each turn is sent with all that came before it, of which the host evaluates
/// only what is new, as long as it has the rest in memory.
/// </summary>
/// <remarks>
/// One turn at a time; <see cref="Messages"/> and <see cref="Save"/> may be used from any thread. A turn that fails or is
/// cancelled leaves the conversation as it was before it: what had arrived is in the exception.
/// </remarks>
public sealed class LlamaConversation
{
    private const int SavedVersion = 1;

    private readonly LlamaClient client;
    private readonly object gate = new();
    private readonly List<LlamaMessage> messages = [];
    private bool hasTurn;

    /// <summary>Begins a conversation.</summary>
    /// <param name="client">The client that answers.</param>
    /// <param name="instructions">What the model is told first; null: nothing.</param>
    public LlamaConversation(LlamaClient client, string? instructions = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        this.client = client;
        if (!string.IsNullOrEmpty(instructions))
        {
            messages.Add(LlamaMessage.System(instructions));
        }
    }

    /// <summary>
    /// How the answers are made: everything of it but <see cref="LlamaRequest.Messages"/> is sent with each turn.
    /// </summary>
    public LlamaRequest Parameters { get; set; } = new();

    /// <summary>What was said so far, the oldest first.</summary>
    public IReadOnlyList<LlamaMessage> Messages
    {
        get
        {
            lock (gate)
            {
                return [.. messages];
            }
        }
    }

    /// <summary>The answer of the last whole turn: tokens, times, how it ended; null before.</summary>
    public LlamaResult? LastResult { get; private set; }

    /// <summary>
    /// Says something and returns the pieces of the answer as they arrive. Leaving the loop stops the host's work.
    /// </summary>
    /// <param name="text">What the user says.</param>
    /// <param name="cancellationToken">Stops the host's work; the loop then ends with a <see cref="RequestCanceledException"/>.</param>
    /// <inheritdoc cref="LlamaClient.StreamAsync(LlamaRequest, CancellationToken)" path="/exception"/>
    /// <exception cref="InvalidOperationException">Another turn is under way.</exception>
    public async IAsyncEnumerable<string> StreamAsync(
        string text, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(text);
        LlamaMessage asked = LlamaMessage.User(text);
        LlamaRequest request = BeginTurn(asked);
        try
        {
            using LlamaStream stream = client.OpenStream(request);
            await foreach (string piece in stream.ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                yield return piece;
            }
            stream.ThrowIfTruncated();
            Keep(asked, stream.Result!);
        }
        finally
        {
            Volatile.Write(ref hasTurn, false);
        }
    }

    /// <summary>Says something and returns the whole answer.</summary>
    /// <inheritdoc cref="StreamAsync"/>
    /// <returns>The answer.</returns>
    public async Task<string> AskAsync(string text, CancellationToken cancellationToken = default)
    {
        StringBuilder answer = new();
        await foreach (string piece in StreamAsync(text, cancellationToken).ConfigureAwait(false))
        {
            answer.Append(piece);
        }
        return answer.ToString();
    }

    /// <summary>The conversation as a JSON text, for <see cref="Load"/>.</summary>
    public string Save()
    {
        using MemoryStream buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("version", SavedVersion);
            json.WriteStartArray("messages");
            foreach (LlamaMessage message in Messages)
            {
                json.WriteStartObject();
                json.WriteString("role", message.Role.Name);
                json.WriteString("content", message.Text);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    /// <summary>
    /// Has the host write what its model remembers of this conversation into a file, beside what <see cref="Save"/> gives. Where
    /// the conversation is loaded again, <see cref="LlamaClient.RestoreStateAsync"/> reads it back.
    /// </summary>
    /// <inheritdoc cref="LlamaClient.SaveStateAsync(LlamaRequest, string, CancellationToken)"/>
    public Task<LlamaSavedState> SaveStateAsync(string path, CancellationToken cancellationToken = default) =>
        client.SaveStateAsync(Parameters with { Messages = Messages }, path, cancellationToken);

    /// <summary>A conversation that was saved, to be gone on with.</summary>
    /// <param name="client">The client that answers.</param>
    /// <param name="saved">What <see cref="Save"/> returned.</param>
    /// <exception cref="FormatException">It is not that.</exception>
    public static LlamaConversation Load(LlamaClient client, string saved)
    {
        ArgumentNullException.ThrowIfNull(saved);
        LlamaConversation conversation = new(client);
        try
        {
            using JsonDocument json = JsonDocument.Parse(saved);
            int version = json.RootElement.GetProperty("version").GetInt32();
            if (version != SavedVersion)
            {
                throw new FormatException(
                    $"The conversation was saved in the form {version}; this library knows the form {SavedVersion}.");
            }
            foreach (JsonElement message in json.RootElement.GetProperty("messages").EnumerateArray())
            {
                conversation.messages.Add(new LlamaMessage(
                    message.GetProperty("role").GetString()!, message.GetProperty("content").GetString()!));
            }
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or ArgumentNullException)
        {
            throw new FormatException($"The text is not a conversation that was saved: {e.Message}", e);
        }
        return conversation;
    }

    private LlamaRequest BeginTurn(LlamaMessage asked)
    {
        lock (gate)
        {
            if (hasTurn)
            {
                throw new InvalidOperationException("Another turn of this conversation is under way.");
            }
            LlamaRequest request = Parameters with { Messages = [.. messages, asked] };
            hasTurn = true;
            return request;
        }
    }

    private void Keep(LlamaMessage asked, LlamaResult result)
    {
        lock (gate)
        {
            messages.Add(asked);
            messages.Add(LlamaMessage.Assistant(result.Text));
            LastResult = result;
        }
    }
}
