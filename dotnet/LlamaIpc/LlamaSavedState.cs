// What a host says of a conversation's state that it has saved or restored.
using System.Text.Json;

namespace LlamaIpc;

/// <summary>A file with what a model remembers of a conversation.</summary>
/// <param name="Tokens">How many tokens of the conversation, with the template's, are in it.</param>
/// <param name="Bytes">Its size.</param>
/// <seealso cref="LlamaClient.SaveStateAsync"/>
public sealed record LlamaSavedState(int Tokens, long Bytes)
{
    internal static LlamaSavedState Read(string json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return new LlamaSavedState(
                document.RootElement.GetProperty("tokens").GetInt32(), document.RootElement.GetProperty("bytes").GetInt64());
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new LlamaIpcException(LipcError.Layout, $"The host says something else of a saved state: {e.Message}");
        }
    }
}
