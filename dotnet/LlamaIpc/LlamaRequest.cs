// What is asked of the model.
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>One message of a conversation.</summary>
/// <param name="Role">Who says it; a string such as "user" will do.</param>
/// <param name="Text">The text.</param>
public sealed record LlamaMessage(LlamaRole Role, string Text)
{
    /// <summary>Instructions for the model.</summary>
    /// <param name="text">The text.</param>
    public static LlamaMessage System(string text) => new(LlamaRole.System, text);

    /// <summary>What the user says.</summary>
    /// <param name="text">The text.</param>
    public static LlamaMessage User(string text) => new(LlamaRole.User, text);

    /// <summary>What the model answered earlier.</summary>
    /// <param name="text">The text.</param>
    public static LlamaMessage Assistant(string text) => new(LlamaRole.Assistant, text);
}

/// <summary>
/// A request: a conversation whose next message the model writes, and how. Every number that is null is left to the
/// host's own option of that name.
/// </summary>
public sealed record LlamaRequest
{
    /// <summary>The value of <see cref="Seed"/> that stands for a random one.</summary>
    public const long RandomSeed = LipcRequest.SeedRandom;

    /// <summary>Makes a request without messages, for an initializer to fill.</summary>
    public LlamaRequest()
    {
    }

    /// <summary>Makes a request of one message of the user.</summary>
    /// <param name="userText">What the user says.</param>
    public LlamaRequest(string userText)
    {
        ArgumentNullException.ThrowIfNull(userText);
        Messages = [LlamaMessage.User(userText)];
    }

    /// <summary>Makes a request of a conversation.</summary>
    /// <param name="messages">The messages, the oldest first.</param>
    public LlamaRequest(params LlamaMessage[] messages) => Messages = messages;

    /// <summary>The conversation, the oldest message first.</summary>
    public IReadOnlyList<LlamaMessage> Messages { get; init; } = [];

    /// <summary>The tokens of answer at most (n_predict); -1: as many as fit.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>0: always the likeliest token; the higher, the more freely it chooses.</summary>
    public float? Temperature { get; init; }

    /// <summary>Chooses among the K likeliest tokens; 0: off.</summary>
    public int? TopK { get; init; }

    /// <summary>Chooses among the likeliest tokens that reach P together, 0 to 1; 1: off.</summary>
    public float? TopP { get; init; }

    /// <summary>Chooses among tokens at least P times as likely as the best, 0 to 1; 0: off.</summary>
    public float? MinP { get; init; }

    /// <summary>Divides the logits of recent tokens, 0.01 to 100; 1: off.</summary>
    public float? RepeatPenalty { get; init; }

    /// <summary>Subtracts so much for each recent occurrence of a token, -100 to 100; 0: off.</summary>
    public float? FrequencyPenalty { get; init; }

    /// <summary>Subtracts so much if a token occurred recently, -100 to 100; 0: off.</summary>
    public float? PresencePenalty { get; init; }

    /// <summary>How many tokens are recent; 0: none, -1: all.</summary>
    public int? RepeatLastN { get; init; }

    /// <summary>
    /// The seed of the choices, 0 to 4,294,967,294, or <see cref="RandomSeed"/>. The seed that was used is in
    /// <see cref="LlamaResult.Seed"/>.
    /// </summary>
    public long? Seed { get; init; }

    /// <summary>-100 to 100: of waiting requests the highest goes first.</summary>
    public int Priority { get; init; }

    /// <summary>GBNF with a rule "root" that the answer must follow; null: none.</summary>
    public string? Grammar { get; init; }

    /// <summary>The answer ends before the first of these texts; at most 16, of 1 to 256 bytes of UTF-8.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>
    /// Whether the work goes on without this client, so that <see cref="LlamaClient.Attach"/> can find it again: when
    /// the stream is let go with <see cref="LlamaStream.Detach"/>, and when this process ends.
    /// </summary>
    public bool Detachable { get; init; }

    /// <summary>Whether the model is kept from ending its answer.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>
    /// Whether <see cref="LlamaStream.GetTokens"/> gives log probabilities, at a pass over the vocabulary for each
    /// token.
    /// </summary>
    public bool LogProbabilities { get; init; }

    /// <summary>Sends the request. The caller owns the handle.</summary>
    internal unsafe LipcStreamHandle Open(LipcClientHandle client)
    {
        using NativeText text = new();
        LipcRequest native;
        NativeMethods.RequestInit(&native);
        FillMessages(&native, text);
        FillNumbers(&native);
        native.Grammar = text.Add(Grammar, nameof(Grammar));
        ArgumentNullException.ThrowIfNull(Stops);
        native.Stops = text.Add(Stops, nameof(Stops));
        native.NStops = Stops.Count;
        native.Detachable = Detachable ? 1 : 0;
        native.IgnoreEos = IgnoreEos ? 1 : 0;
        native.Logprobs = LogProbabilities ? 1 : 0;

        int error = NativeMethods.StreamOpen(client, &native, out LipcStreamHandle stream);
        if (error == (int)LipcError.Ok)
        {
            return stream;
        }
        string message = NativeMethods.LastErrorMessage(error);
        stream.Dispose();
        throw LlamaIpcException.Of((LipcError)error, message);
    }

    private unsafe void FillMessages(LipcRequest* native, NativeText text)
    {
        ArgumentNullException.ThrowIfNull(Messages);
        native->NMessages = Messages.Count;
        native->Messages = text.AddMessages(Messages.Count);
        for (int i = 0; i < Messages.Count; i++)
        {
            LlamaMessage message = Messages[i];
            ArgumentNullException.ThrowIfNull(message, nameof(Messages));
            ArgumentNullException.ThrowIfNull(message.Text, nameof(Messages));
            native->Messages[i].Role = text.Add(message.Role.Name, nameof(Messages));
            native->Messages[i].Text = text.Add(message.Text, nameof(Messages));
        }
    }

    private unsafe void FillNumbers(LipcRequest* native)
    {
        // The values that stand for "the host's own" in C are null here, and otherwise numbers like any other.
        native->NPredict = Number(MaxTokens, nameof(MaxTokens));
        native->TopK = Number(TopK, nameof(TopK));
        native->RepeatLastN = Number(RepeatLastN, nameof(RepeatLastN));
        native->Temperature = Number(Temperature, nameof(Temperature));
        native->MinP = Number(MinP, nameof(MinP));
        native->TopP = Number(TopP, nameof(TopP));
        native->RepeatPenalty = Number(RepeatPenalty, nameof(RepeatPenalty));
        native->FrequencyPenalty = Number(FrequencyPenalty, nameof(FrequencyPenalty));
        native->PresencePenalty = Number(PresencePenalty, nameof(PresencePenalty));
        native->Priority = Priority;
        if (Seed == LipcRequest.SeedDefault)
        {
            throw new ArgumentOutOfRangeException(nameof(Seed), Seed, "Not a seed; null leaves it to the host.");
        }
        native->Seed = Seed ?? LipcRequest.SeedDefault;
    }

    private static int Number(int? value, string parameter) => value != LipcRequest.IntDefault
        ? value ?? LipcRequest.IntDefault
        : throw new ArgumentOutOfRangeException(parameter, value, "Out of bounds; null leaves the value to the host.");

    private static float Number(float? value, string parameter) => value is not float.NaN
        ? value ?? float.NaN
        : throw new ArgumentOutOfRangeException(parameter, value, "Not a number; null leaves the value to the host.");
}
