// From a client to a chat client: where Microsoft.Extensions.AI has such methods for other clients.
using LlamaIpc;

namespace Microsoft.Extensions.AI;

/// <summary>What Microsoft.Extensions.AI adds to a <see cref="LlamaClient"/>.</summary>
public static class LlamaClientExtensions
{
    /// <summary>The client as one of Microsoft.Extensions.AI.</summary>
    /// <param name="client">The client, which lives on when the chat client is disposed.</param>
    public static IChatClient AsIChatClient(this LlamaClient client) => new LlamaChatClient(client);
}
