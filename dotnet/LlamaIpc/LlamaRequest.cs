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

    /// <summary>What a tool found that the model had called.</summary>
    /// <param name="callId">The call's id.</param>
    /// <param name="toolName">The tool.</param>
    /// <param name="text">What it found.</param>
    public static LlamaMessage ToolResult(string callId, string toolName, string text) =>
        new(LlamaRole.Tool, text) { CallId = callId, ToolName = toolName };

    /// <summary>Of an earlier answer: what the model had thought before it; null: nothing.</summary>
    public string? Thought { get; init; }

    /// <summary>Of an earlier answer: the tools that it called.</summary>
    public IReadOnlyList<LlamaCall> Calls { get; init; } = [];

    /// <summary>Of a tool's result: the id of the call.</summary>
    public string? CallId { get; init; }

    /// <summary>Of a tool's result: the tool.</summary>
    public string? ToolName { get; init; }
}

/// <summary>
/// A request: a conversation whose next message the model writes, and how. Every number that is null is left to the
/// host's own option of that name.
/// </summary>
public sealed partial record LlamaRequest
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
    /// token; with <see cref="NProbs"/> it does in any case.
    /// </summary>
    public bool LogProbabilities { get; init; }

    /// <summary>
    /// Tools that the model may call. Read the answer with <see cref="LlamaStream.ReadPartsAsync"/> then.
    /// </summary>
    public IReadOnlyList<LlamaTool> Tools { get; init; } = [];

    /// <summary>"auto" (the default with tools), "none", "required", or the name of the tool to call.</summary>
    public string? ToolChoice { get; init; }

    /// <summary>Whether one answer may call several tools; null: as the model's template has it.</summary>
    public bool? ParallelToolCalls { get; init; }

    /// <summary>The JSON schema that the answer's text must follow; null: none.</summary>
    public string? JsonSchema { get; init; }

    /// <summary>Whether the model thinks before it answers; null: as it does by default.</summary>
    public bool? Thinking { get; init; }

    /// <summary>How hard it thinks: "low", "medium", "high", or what its template knows; "none": not at all.</summary>
    public string? ReasoningEffort { get; init; }

    /// <summary>The tokens of thought at most; -1: no limit.</summary>
    public int? ThinkingBudget { get; init; }

    /// <summary>Whether the last message, the assistant's, is the beginning of the answer, which goes on behind it.</summary>
    public bool ContinueLastMessage { get; init; }

    /// <summary>A prompt in place of messages that no template is put around; null: none.</summary>
    public string? RawPrompt { get; init; }

    /// <summary>
    /// A JSON document in place of messages, tools and the like, as docs/protocol.md describes it in its section
    /// "Documents"; null: none.
    /// </summary>
    public string? Document { get; init; }

    /// <summary>
    /// Sends the request; with a path it asks for no answer, but that the state of the conversation be saved there. The caller
    /// owns the handle.
    /// </summary>
    internal unsafe LipcStreamHandle Open(LipcClientHandle client, string? savePath = null)
    {
        using NativeText text = new();
        LipcRequest native;
        NativeMethods.RequestInit(&native, (nuint)sizeof(LipcRequest));
        native.Document = text.Add(RequestDocument.Of(this), nameof(Document));
        if (native.Document == null)
        {
            FillMessages(&native, text);
        }
        FillNumbers(&native, text);
        native.Grammar = text.Add(Grammar, nameof(Grammar));
        ArgumentNullException.ThrowIfNull(Stops);
        native.Stops = text.Add(Stops, nameof(Stops));
        native.NStops = Stops.Count;
        native.Detachable = Detachable ? 1 : 0;
        native.IgnoreEos = IgnoreEos ? 1 : 0;
        native.Logprobs = LogProbabilities ? 1 : 0;
        native.SavePath = text.Add(savePath, nameof(savePath));
        return Send(client, &native);
    }

    /// <summary>Asks that a saved state be read back. The caller owns the handle.</summary>
    internal static unsafe LipcStreamHandle OpenRestore(LipcClientHandle client, string path)
    {
        using NativeText text = new();
        LipcRequest native;
        NativeMethods.RequestInit(&native, (nuint)sizeof(LipcRequest));
        native.RestorePath = text.Add(path, nameof(path));
        return Send(client, &native);
    }

    private static unsafe LipcStreamHandle Send(LipcClientHandle client, LipcRequest* native)
    {
        int error = NativeMethods.StreamOpen(client, native, out LipcStreamHandle stream);
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

    private unsafe void FillNumbers(LipcRequest* native, NativeText text)
    {
        // The values that stand for "the host's own" in C are null here, and otherwise numbers like any other.
        native->NPredict = Number(MaxTokens, nameof(MaxTokens));
        ParameterList parameters = new();
        AddSampling(parameters);
        native->Parameters = text.Add(parameters);
        native->NParameters = parameters.Count;
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
}
