// What an answer consists of: text, thoughts and calls of tools.
namespace LlamaIpc;

/// <summary>What a piece of an answer belongs to.</summary>
public enum LlamaPartKind
{
    /// <summary>The answer itself.</summary>
    Text = 0,

    /// <summary>What a model that thinks writes before it answers.</summary>
    Thought = 1,

    /// <summary>The call of a tool.</summary>
    Call = 2,
}

/// <summary>
/// A piece of an answer, as <see cref="LlamaStream.ReadPartsAsync"/> gives them in their order. A thought or call is
/// complete when a piece of another part comes, or the end.
/// </summary>
/// <param name="Kind">What it belongs to.</param>
/// <param name="Text">New text of the answer or the thought; of a call the next piece of its arguments, which are a JSON
/// object once it is complete. May be empty where a part begins.</param>
/// <param name="Index">Which of the thoughts and calls, from 0; -1: the answer's text.</param>
/// <param name="Begins">Whether a thought or call begins with this piece.</param>
public sealed record LlamaPart(LlamaPartKind Kind, string Text, int Index, bool Begins)
{
    /// <summary>Which of the calls, from 0; -1: it is none.</summary>
    public int CallIndex { get; init; } = -1;

    /// <summary>Of a call: what its result is sent back with, in each of its pieces. Otherwise empty.</summary>
    public string CallId { get; init; } = "";

    /// <summary>Of a call: the tool, in each of its pieces. Otherwise empty.</summary>
    public string ToolName { get; init; } = "";

    /// <summary>Of a thought or call: how many bytes of UTF-8 of the answer's text come before it.</summary>
    public long Position { get; init; }
}
