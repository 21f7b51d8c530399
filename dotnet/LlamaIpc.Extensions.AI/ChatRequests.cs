// What a chat client is asked, as a request to the host. What the host cannot do is refused by its name.
using System.Globalization;
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
        List<LlamaMessage> all = [];
        if (!string.IsNullOrEmpty(options?.Instructions))
        {
            all.Add(LlamaMessage.System(options.Instructions));
        }
        all.AddRange(request.Messages);
        ChatMessages.AddTo(all, messages);
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
            Tools = [.. request.Tools, .. options.Tools?.Select(ToolOf) ?? []],
            ToolChoice = request.ToolChoice ?? ToolChoiceOf(options.ToolMode),
            ParallelToolCalls = request.ParallelToolCalls ?? options.AllowMultipleToolCalls,
            JsonSchema = request.JsonSchema ?? SchemaOf(options.ResponseFormat),
            ReasoningEffort = request.ReasoningEffort ?? NameOf(options.Reasoning?.Effort),
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
        if (options is { ToolMode: RequiredChatToolMode, Tools: not { Count: > 0 } })
        {
            throw Unsupported(nameof(options.ToolMode), "it requires a tool, and ChatOptions.Tools has none");
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

    private static LlamaTool ToolOf(AITool tool) => tool is AIFunctionDeclaration function
        ? new LlamaTool(function.Name, function.Description, function.JsonSchema.GetRawText())
        : throw Unsupported(nameof(ChatOptions.Tools), $"the host has no {tool.GetType().Name}");

    private static string? ToolChoiceOf(ChatToolMode? mode) => mode switch
    {
        null or AutoChatToolMode => null,
        NoneChatToolMode => "none",
        RequiredChatToolMode required => required.RequiredFunctionName ?? "required",
        _ => throw Unsupported(nameof(ChatOptions.ToolMode), $"it is a {mode.GetType().Name}"),
    };

    private static string? SchemaOf(ChatResponseFormat? format) => format switch
    {
        ChatResponseFormatJson { Schema: JsonElement schema } => schema.GetRawText(),
        ChatResponseFormatJson => """{"type":"object"}""",
        _ => null,
    };

    private static string? NameOf(ReasoningEffort? effort) => effort switch
    {
        null => null,
        ReasoningEffort.None => "none",
        ReasoningEffort.Low => "low",
        ReasoningEffort.Medium => "medium",
        ReasoningEffort.High or ReasoningEffort.ExtraHigh => "high",
        _ => throw Unsupported(nameof(ChatOptions.Reasoning), $"its effort is {effort}"),
    };

    internal static NotSupportedException Unsupported(string option, string reason) =>
        new($"ChatOptions.{option} is not supported: {reason}.");
}
