// A function call that is handed over when it is whole.
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.AI;

namespace LlamaIpc;

/// <summary>The pieces of one call.</summary>
internal sealed class GrowingCall(LlamaPart first)
{
    private readonly StringBuilder arguments = new(first.Text);

    /// <summary>Whether a piece is another one of this call; if so, it is taken.</summary>
    internal bool Takes(LlamaPart part)
    {
        if (part.Kind != LlamaPartKind.Call || part.Index != first.Index)
        {
            return false;
        }
        arguments.Append(part.Text);
        return true;
    }

    /// <summary>The call; null if it is not whole, because the answer was cut off in it.</summary>
    internal FunctionCallContent? ToContent()
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(arguments.Length == 0 ? "{}" : arguments.ToString());
            if (json.RootElement.ValueKind != JsonValueKind.Object)
            {
                return null;
            }
            Dictionary<string, object?> named = [];
            foreach (JsonProperty property in json.RootElement.EnumerateObject())
            {
                named[property.Name] = property.Value.Clone();
            }
            return new FunctionCallContent(first.CallId, first.ToolName, named);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
