// What a streaming update says.
using System.Text;

namespace LlamaIpc;

/// <summary>A new state of a growing answer.</summary>
public sealed class StreamUpdateEventArgs : EventArgs
{
    private readonly AnswerText answer;
    private readonly int newFrom;
    private string? partialResponse;
    private string? newText;

    internal StreamUpdateEventArgs(AnswerText answer, int newFrom, int tokensGenerated, bool isComplete, bool promptWasCut)
    {
        this.answer = answer;
        this.newFrom = newFrom;
        TokensGenerated = tokensGenerated;
        IsComplete = isComplete;
        PromptWasCut = promptWasCut;
    }

    /// <summary>The whole text so far. It always ends with a whole character.</summary>
    public string PartialResponse => partialResponse ??= answer.Substring(0);

    /// <summary>What was not in the previous update. The pieces of all updates, joined, are the final text.</summary>
    public string NewText => newText ??= answer.Substring(newFrom);

    /// <summary>The number of tokens generated so far.</summary>
    public int TokensGenerated { get; }

    /// <summary>
    /// True for the last update of an answer: the text is final. A request that fails or is cancelled ends without it.
    /// </summary>
    public bool IsComplete { get; }

    /// <summary>True if a prompt was longer than 4,095 bytes of UTF-8 and was cut there.</summary>
    public bool PromptWasCut { get; }

    /// <summary>This update, with the new text counted from where an earlier, undelivered one began.</summary>
    internal StreamUpdateEventArgs Absorb(StreamUpdateEventArgs earlier) =>
        new(answer, earlier.newFrom, TokensGenerated, IsComplete, PromptWasCut);
}

/// <summary>
/// A state of an answer: the first characters of a buffer that only grows. Later states share the buffer and write
/// behind this one's end, so a state can be kept and read from any thread without being copied for every token.
/// </summary>
internal readonly struct AnswerText
{
    private readonly char[]? buffer;

    private AnswerText(char[] buffer, int length)
    {
        this.buffer = buffer;
        Length = length;
    }

    internal int Length { get; }

    /// <summary>The state after more bytes of UTF-8, which begin and end with whole characters.</summary>
    internal AnswerText Append(ReadOnlySpan<byte> utf8)
    {
        // UTF-8 never has fewer bytes than UTF-16 has units.
        char[] target = buffer ?? new char[Math.Max(256, utf8.Length)];
        if (target.Length - Length < utf8.Length)
        {
            target = new char[Math.Max(2 * target.Length, Length + utf8.Length)];
            buffer?.AsSpan(0, Length).CopyTo(target);
        }
        int added = Encoding.UTF8.GetChars(utf8, target.AsSpan(Length));
        return new AnswerText(target, Length + added);
    }

    internal string Substring(int from) => buffer is null ? "" : new string(buffer, from, Length - from);
}
