// Tools that a model may call, and its calls.
namespace LlamaIpc;

/// <summary>A tool that the model may call. The host runs nothing: a call is a part of the answer.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Description">What it does, for the model.</param>
/// <param name="Parameters">A JSON schema of its arguments; null: it takes none.</param>
public sealed record LlamaTool(string Name, string? Description = null, string? Parameters = null);

/// <summary>The call of a tool, as an earlier answer had it.</summary>
/// <param name="Id">What its result refers to it by.</param>
/// <param name="ToolName">The tool.</param>
/// <param name="Arguments">A JSON object.</param>
public sealed record LlamaCall(string Id, string ToolName, string Arguments);
