// What a chat client is asked, as a request to the host. What the host cannot do is refused by its name.
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.AI;

namespace LlamaIpc;

/// <summary>Makes requests of messages and options.</summary>
internal static class ChatRequests
{
    /// <summary>The request for a conversation. The caller may change what it gave as soon as this returns.</summary>
    /// <exception cref="NotSupportedException">Something that the host cannot do; the message names it.</exception>
    internal static LlamaRequest Of(IEnumerable<ChatMessage> messages, ChatOptions? options, IChatClient client)
    {
        LlamaRequest request = options?.RawRepresentationFactory?.Invoke(client) switch
        {
            null => new LlamaRequest(),
            LlamaRequest own => own,
            object other => throw Unsupported(
                nameof(ChatOptions.RawRepresentationFactory), $"it made a {other.GetType().Name}, not a LlamaRequest"),
        };
        List<LlamaMessage> all = [.. request.Messages];
        if (!string.IsNullOrEmpty(options?.Instructions))
        {
            all.Add(LlamaMessage.System(options.Instructions));
        }
        foreach (ChatMessage message in messages)
        {
            all.Add(new LlamaMessage(message.Role.Value, TextOf(message)));
        }
        request = request with { Messages = all };
        return options is null ? request : WithOptions(request, options);
    }

    private static LlamaRequest WithOptions(LlamaRequest request, ChatOptions options)
    {
        RefuseUnsupported(options);
        request = request with
        {
            MaxTokens = request.MaxTokens ?? options.MaxOutputTokens,
            Temperature = request.Temperature ?? options.Temperature,
            TopP = request.TopP ?? options.TopP,
            TopK = request.TopK ?? options.TopK,
            FrequencyPenalty = request.FrequencyPenalty ?? options.FrequencyPenalty,
            PresencePenalty = request.PresencePenalty ?? options.PresencePenalty,
            Seed = request.Seed ?? options.Seed,
            Stops = request.Stops.Count > 0 || options.StopSequences is null ? request.Stops : [.. options.StopSequences],
        };
        foreach ((string name, object? value) in options.AdditionalProperties ?? [])
        {
            request = WithProperty(request, name, value);
        }
        return request;
    }

    private static void RefuseUnsupported(ChatOptions options)
    {
        if (options.ContinuationToken != null)
        {
            throw Unsupported(nameof(options.ContinuationToken), "an answer is continued with LlamaClient.Attach");
        }
        if (options.Tools is { Count: > 0 } && options.ToolMode is not NoneChatToolMode)
        {
            throw Unsupported(nameof(options.Tools), "the host takes no tools");
        }
        if (options.ToolMode is RequiredChatToolMode)
        {
            throw Unsupported(nameof(options.ToolMode), "the host takes no tools");
        }
        if (options.ResponseFormat is ChatResponseFormatJson)
        {
            throw Unsupported(nameof(options.ResponseFormat), "the host takes no JSON schema; LlamaRequest.Grammar binds an answer");
        }
        if (options.Reasoning is { Effort: not (null or ReasoningEffort.None) })
        {
            throw Unsupported(nameof(options.Reasoning), "the host cannot tell a model how hard to think");
        }
    }

    /// <summary>The host's own parameters, by the names that its options have.</summary>
    private static LlamaRequest WithProperty(LlamaRequest request, string name, object? value) => name switch
    {
        "min_p" => request with { MinP = Number(name, value) },
        "repeat_penalty" => request with { RepeatPenalty = Number(name, value) },
        "repeat_last_n" => request with { RepeatLastN = (int)Number(name, value) },
        "priority" => request with { Priority = (int)Number(name, value) },
        "ignore_eos" => request with { IgnoreEos = Truth(name, value) },
        "grammar" => request with { Grammar = Text(name, value) },
        _ => throw Unsupported(
            $"{nameof(ChatOptions.AdditionalProperties)}[\"{name}\"]",
            "known are min_p, repeat_penalty, repeat_last_n, priority, ignore_eos, grammar"),
    };

    private static float Number(string name, object? value) => value switch
    {
        JsonElement { ValueKind: JsonValueKind.Number } json => json.GetSingle(),
        IConvertible and not (string or bool) => Convert.ToSingle(value, CultureInfo.InvariantCulture),
        _ => throw Unsupported($"{nameof(ChatOptions.AdditionalProperties)}[\"{name}\"]", "its value is not a number"),
    };

    private static bool Truth(string name, object? value) => value switch
    {
        bool truth => truth,
        JsonElement { ValueKind: JsonValueKind.True } => true,
        JsonElement { ValueKind: JsonValueKind.False } => false,
        _ => throw Unsupported($"{nameof(ChatOptions.AdditionalProperties)}[\"{name}\"]", "its value is neither true nor false"),
    };

    private static string? Text(string name, object? value) => value switch
    {
        null or string => (string?)value,
        JsonElement { ValueKind: JsonValueKind.String } json => json.GetString(),
        _ => throw Unsupported($"{nameof(ChatOptions.AdditionalProperties)}[\"{name}\"]", "its value is not a text"),
    };

    /// <summary>
    /// The text of a message. What the model thought earlier is not sent back to it: models are not trained for that. Nor
    /// is the usage record of an answer.
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
                TextReasoningContent or UsageContent => "",
                TextContent part => part.Text,
                DataContent data when data.HasTopLevelMediaType("text") => Encoding.UTF8.GetString(data.Data.Span),
                _ => throw new NotSupportedException(
                    $"A message of the role '{message.Role}' holds a {content.GetType().Name}, which the host cannot take."),
            });
        }
        return text.ToString();
    }

    private static NotSupportedException Unsupported(string option, string reason) =>
        new($"ChatOptions.{option} is not supported: {reason}.");
}
