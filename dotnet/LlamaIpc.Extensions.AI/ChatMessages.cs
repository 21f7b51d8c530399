// Messages of Microsoft.Extensions.AI as messages for the host.
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.AI;

namespace LlamaIpc;

/// <summary>Maps the contents of messages; one that the host cannot take is refused by its name.</summary>
internal static class ChatMessages
{
    /// <summary>Without indentation: white space is tokens, too.</summary>
    private static readonly JsonSerializerOptions Compact = new(AIJsonUtilities.DefaultOptions) { WriteIndented = false };

    /// <summary>Adds messages; each result of a tool becomes one of its own.</summary>
    /// <exception cref="NotSupportedException">One holds something that the host cannot take.</exception>
    internal static void AddTo(List<LlamaMessage> all, IEnumerable<ChatMessage> messages)
    {
        Dictionary<string, string> tools = []; // of earlier calls, by their ids
        foreach (ChatMessage message in messages)
        {
            FunctionResultContent[] results = [.. message.Contents.OfType<FunctionResultContent>()];
            foreach (FunctionResultContent result in results)
            {
                string tool = tools.GetValueOrDefault(result.CallId, "");
                all.Add(LlamaMessage.ToolResult(result.CallId, tool, TextOf(result)));
            }
            if (results.Length > 0 && results.Length == message.Contents.Count)
            {
                continue;
            }
            FunctionCallContent[] calls = [.. message.Contents.OfType<FunctionCallContent>()];
            foreach (FunctionCallContent call in calls)
            {
                tools[call.CallId] = call.Name;
            }
            string thought = string.Concat(message.Contents.OfType<TextReasoningContent>().Select(content => content.Text));
            all.Add(new LlamaMessage(message.Role.Value, TextOf(message))
            {
                Thought = thought.Length > 0 ? thought : null,
                Calls = [.. calls.Select(call => new LlamaCall(call.CallId, call.Name, ArgumentsOf(call)))],
            });
        }
    }

    /// <summary>
    /// The text of a message. Thoughts, calls and results have places of their own; the usage record of an answer is
    /// nothing for a model.
    /// </summary>
    private static string TextOf(ChatMessage message)
    {
        if (message.Contents.Count == 1 && message.Contents[0] is TextContent only)
        {
            return only.Text;
        }
        StringBuilder text = new();
        foreach (AIContent content in message.Contents)
        {
            text.Append(content switch
            {
                TextReasoningContent or UsageContent or FunctionCallContent or FunctionResultContent => "",
                TextContent part => part.Text,
                DataContent data when data.HasTopLevelMediaType("text") => Encoding.UTF8.GetString(data.Data.Span),
                _ => throw new NotSupportedException(
                    $"A message of the role '{message.Role}' holds a {content.GetType().Name}, which the host cannot take."),
            });
        }
        return text.ToString();
    }

    private static string TextOf(FunctionResultContent result) => result.Result switch
    {
        null => result.Exception?.Message ?? "",
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } text => text.GetString()!,
        object value => JsonSerializer.Serialize(value, Compact.GetTypeInfo(value.GetType())),
    };

    private static string ArgumentsOf(FunctionCallContent call) => JsonSerializer.Serialize(
        call.Arguments ?? new Dictionary<string, object?>(),
        Compact.GetTypeInfo(typeof(IDictionary<string, object?>)));
}
