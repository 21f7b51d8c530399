// The JSON document of a request that plain messages cannot express.
using System.Text;
using System.Text.Json;

namespace LlamaIpc;

/// <summary>Writes what a chat model is asked with, in the form of docs/protocol.md, section "Documents".</summary>
internal static class RequestDocument
{
    /// <summary>The document; null: plain messages say all that the request does.</summary>
    internal static string? Of(LlamaRequest request)
    {
        if (request.Document is string whole)
        {
            return whole;
        }
        return NeedsDocument(request) ? Write(request) : null;
    }

    private static bool NeedsDocument(LlamaRequest request) =>
        request.Tools.Count > 0 || request.ToolChoice != null || request.ParallelToolCalls != null
        || request.JsonSchema != null || request.Thinking != null || request.ReasoningEffort != null
        || request.ThinkingBudget != null || request.ContinueLastMessage || request.RawPrompt != null
        || request.Messages.Any(message => message is { Thought: not null } or { Calls.Count: > 0 } or { CallId: not null }
            || (message is { Role: var role } && (role == LlamaRole.Tool || role == LlamaRole.Developer)));

    private static string Write(LlamaRequest request)
    {
        using MemoryStream bytes = new();
        using (Utf8JsonWriter json = new(bytes))
        {
            json.WriteStartObject();
            if (request.RawPrompt != null)
            {
                json.WriteString("prompt", request.RawPrompt);
            }
            else
            {
                json.WriteStartArray("messages");
                foreach (LlamaMessage message in request.Messages)
                {
                    WriteMessage(json, message);
                }
                json.WriteEndArray();
            }
            WriteTools(json, request);
            WriteHow(json, request);
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
    }

    private static void WriteMessage(Utf8JsonWriter json, LlamaMessage message)
    {
        json.WriteStartObject();
        json.WriteString("role", message.Role.Name);
        json.WriteString("content", message.Text);
        if (message.Thought != null)
        {
            json.WriteString("reasoning_content", message.Thought);
        }
        if (message.CallId != null)
        {
            json.WriteString("tool_call_id", message.CallId);
        }
        if (message.ToolName != null)
        {
            json.WriteString("name", message.ToolName);
        }
        if (message.Calls.Count > 0)
        {
            json.WriteStartArray("tool_calls");
            foreach (LlamaCall call in message.Calls)
            {
                json.WriteStartObject();
                json.WriteString("id", call.Id);
                json.WriteString("type", "function");
                json.WriteStartObject("function");
                json.WriteString("name", call.ToolName);
                json.WriteString("arguments", call.Arguments);
                json.WriteEndObject();
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static void WriteTools(Utf8JsonWriter json, LlamaRequest request)
    {
        if (request.Tools.Count > 0)
        {
            json.WriteStartArray("tools");
            foreach (LlamaTool tool in request.Tools)
            {
                json.WriteStartObject();
                json.WriteString("type", "function");
                json.WriteStartObject("function");
                json.WriteString("name", tool.Name);
                if (tool.Description != null)
                {
                    json.WriteString("description", tool.Description);
                }
                WriteJson(json, "parameters", tool.Parameters ?? """{"type":"object","properties":{}}""", nameof(LlamaTool.Parameters));
                json.WriteEndObject();
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        if (request.ToolChoice is "auto" or "none" or "required")
        {
            json.WriteString("tool_choice", request.ToolChoice);
        }
        else if (request.ToolChoice != null)
        {
            json.WriteStartObject("tool_choice");
            json.WriteString("type", "function");
            json.WriteStartObject("function");
            json.WriteString("name", request.ToolChoice);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        if (request.ParallelToolCalls is bool areAllowed)
        {
            json.WriteBoolean("parallel_tool_calls", areAllowed);
        }
    }

    private static void WriteHow(Utf8JsonWriter json, LlamaRequest request)
    {
        if (request.JsonSchema != null)
        {
            json.WriteStartObject("response_format");
            json.WriteString("type", "json_schema");
            json.WriteStartObject("json_schema");
            json.WriteString("name", "answer");
            WriteJson(json, "schema", request.JsonSchema, nameof(LlamaRequest.JsonSchema));
            json.WriteEndObject();
            json.WriteEndObject();
        }
        if (request.Thinking is bool isOn)
        {
            json.WriteStartObject("chat_template_kwargs");
            json.WriteBoolean("enable_thinking", isOn);
            json.WriteEndObject();
        }
        if (request.ReasoningEffort != null)
        {
            json.WriteString("reasoning_effort", request.ReasoningEffort);
        }
        if (request.ThinkingBudget is int budget)
        {
            json.WriteNumber("reasoning_budget_tokens", budget);
        }
        if (request.ContinueLastMessage)
        {
            json.WriteBoolean("continue_final_message", true);
            json.WriteBoolean("add_generation_prompt", false);
        }
    }

    /// <summary>JSON of the caller's, which must be whole: nothing of it can leave its place.</summary>
    private static void WriteJson(Utf8JsonWriter json, string name, string value, string parameter)
    {
        try
        {
            json.WritePropertyName(name);
            json.WriteRawValue(value);
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"Not valid JSON: {e.Message}", parameter, e);
        }
    }
}
