// How far an answer is, and how it ended.
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>The states of a stream, with the numbers of <c>lipc_stream_state</c>.</summary>
public enum LlamaStreamState
{
    /// <summary>It waits for its turn: <see cref="LlamaProgress.QueuePosition"/>.</summary>
    Queued = 1,

    /// <summary>The model reads the prompt: <see cref="LlamaProgress.PromptTokensDone"/>.</summary>
    Reading = 2,

    /// <summary>The answer is being made.</summary>
    Generating = 3,

    /// <summary>It has ended; <see cref="LlamaProgress.End"/> says why.</summary>
    Ended = 4,

    /// <summary>
    /// The part of the host that made it died. Another reads the prompt and the answer so far, and goes on behind them:
    /// what has been read stays valid, and nothing is missing.
    /// </summary>
    Recovering = 5,
}

/// <summary>Why an answer ended, with the numbers of <c>lipc_end</c>.</summary>
public enum LlamaEnd
{
    /// <summary>It has not ended.</summary>
    None = 0,

    /// <summary>The model ended its answer.</summary>
    Turn = 1,

    /// <summary>As many tokens were generated as were asked for: <see cref="LlamaRequest.MaxTokens"/>.</summary>
    Limit = 2,

    /// <summary>A stop string was found: <see cref="LlamaRequest.Stops"/>.</summary>
    Stop = 3,

    /// <summary>The context is full.</summary>
    Context = 4,

    /// <summary>The answer does not fit into its stream.</summary>
    Full = 5,

    /// <summary>It was cancelled.</summary>
    Cancelled = 6,

    /// <summary>The host cannot serve the request.</summary>
    Refused = 7,

    /// <summary>The model failed.</summary>
    Failed = 8,

    /// <summary>The host was told to end, or was killed.</summary>
    HostEnded = 9,
}

/// <summary>A stream at one moment.</summary>
public sealed record LlamaProgress
{
    /// <summary>Nanoseconds in a tick of a <see cref="TimeSpan"/>.</summary>
    private const ulong NsPerTick = 100;

    /// <summary>Makes one to be filled by an initializer, for a fake.</summary>
    public LlamaProgress()
    {
    }

    internal LlamaProgress(in LipcProgress native)
    {
        State = (LlamaStreamState)native.State;
        End = (LlamaEnd)native.End;
        Error = (LipcError)native.Error;
        QueuePosition = native.QueuePosition;
        PromptTokens = native.NPrompt;
        PromptTokensDone = native.NPromptDone;
        PromptTokensCached = native.NCached;
        Tokens = native.NTokens;
        Bytes = (long)native.NBytes;
        QueueTime = Span(native.QueuedNs);
        PromptTime = Span(native.PromptNs);
        GenerateTime = Span(native.GenerateNs);
        Seed = native.Seed;
    }

    /// <summary>What is happening.</summary>
    public LlamaStreamState State { get; init; }

    /// <summary>Why it ended.</summary>
    public LlamaEnd End { get; init; }

    /// <summary>Why it was refused or failed; otherwise <see cref="LipcError.Ok"/>.</summary>
    public LipcError Error { get; init; }

    /// <summary>The requests ahead of this one; 0: it is the next or has begun.</summary>
    public int QueuePosition { get; init; }

    /// <summary>The tokens of the prompt; 0 until it was read in.</summary>
    public int PromptTokens { get; init; }

    /// <summary>The tokens of the prompt that the model has read.</summary>
    public int PromptTokensDone { get; init; }

    /// <summary>Of these, the tokens that the host had in memory already and did not evaluate again.</summary>
    public int PromptTokensCached { get; init; }

    /// <summary>The tokens of the answer so far.</summary>
    public int Tokens { get; init; }

    /// <summary>The bytes of the answer so far, in UTF-8.</summary>
    public long Bytes { get; init; }

    /// <summary>The time in the queue, so far or in all.</summary>
    public TimeSpan QueueTime { get; init; }

    /// <summary>The time from its turn to the first token.</summary>
    public TimeSpan PromptTime { get; init; }

    /// <summary>The time from the first token to now, or to the end.</summary>
    public TimeSpan GenerateTime { get; init; }

    /// <summary>The seed that is used.</summary>
    public long Seed { get; init; }

    internal static TimeSpan Span(ulong nanoseconds) => TimeSpan.FromTicks((long)(nanoseconds / NsPerTick));
}

/// <summary>A complete answer, or as much as there is of one that was cancelled or failed.</summary>
public sealed record LlamaResult
{
    /// <summary>Makes one to be filled by an initializer, for a fake.</summary>
    public LlamaResult()
    {
    }

    internal LlamaResult(string text, LlamaProgress last, bool limitWasAskedFor)
    {
        Text = text;
        End = last.End;
        PromptTokens = last.PromptTokens;
        Tokens = last.Tokens;
        QueueTime = last.QueueTime;
        PromptTime = last.PromptTime;
        GenerateTime = last.GenerateTime;
        Seed = last.Seed;
        IsTruncated = End is not (LlamaEnd.Turn or LlamaEnd.Stop) && !(End == LlamaEnd.Limit && limitWasAskedFor);
    }

    /// <summary>The text; of a stream that was attached to, from the offset on that it was attached at.</summary>
    public string Text { get; init; } = "";

    /// <summary>Why it ended.</summary>
    public LlamaEnd End { get; init; }

    /// <summary>
    /// Whether the model had more to say. An answer that reached the limit that its own request set is not truncated.
    /// </summary>
    public bool IsTruncated { get; init; }

    /// <summary>The tokens of the prompt.</summary>
    public int PromptTokens { get; init; }

    /// <summary>The tokens of the answer.</summary>
    public int Tokens { get; init; }

    /// <summary>The time in the queue.</summary>
    public TimeSpan QueueTime { get; init; }

    /// <summary>The time from its turn to the first token.</summary>
    public TimeSpan PromptTime { get; init; }

    /// <summary>The time from the first token to the end.</summary>
    public TimeSpan GenerateTime { get; init; }

    /// <summary>The seed that was used: with it, the same request gives the same answer, to the last byte if the host was started with --repeatable.</summary>
    public long Seed { get; init; }

    /// <summary>The speed after the first token; 0 if there was no second one.</summary>
    public double TokensPerSecond =>
        Tokens > 1 && GenerateTime > TimeSpan.Zero ? (Tokens - 1) / GenerateTime.TotalSeconds : 0;
}

/// <summary>One token of an answer.</summary>
/// <param name="Id">Its number in the model's vocabulary; -1 if that is not known (<c>--remote</c>).</param>
/// <param name="LogProbability">
/// The natural logarithm of its probability before sampling; null unless <see cref="LlamaRequest.LogProbabilities"/> or
/// <see cref="LlamaRequest.NProbs"/>.
/// </param>
/// <param name="EndOffset">
/// The bytes of the answer, in UTF-8, up to the end of its text. A token that ends inside a character, or whose text
/// might become a stop string, ends where the text before it ends.
/// </param>
/// <param name="Time">The time from the request's turn to its publication; at most 71 minutes.</param>
public readonly record struct LlamaToken(int Id, float? LogProbability, long EndOffset, TimeSpan Time);

/// <summary>One of the likeliest tokens where the model chose one.</summary>
/// <param name="Id">Its number in the model's vocabulary.</param>
/// <param name="Text">
/// Its text, cut after 23 bytes of UTF-8; U+FFFD stands for bytes that are no whole character. Control tokens have one, too.
/// </param>
/// <param name="LogProbability">The natural logarithm of its probability before sampling.</param>
public readonly record struct LlamaProbability(int Id, string Text, float LogProbability);
