// Thoughts, calls and results through IChatClient, with a host that plays a script, so that what is sent and what comes back does
// not depend on what a small model makes of it; and the examples of docs/dotnet/tools.md with the embedded model.
using System.ComponentModel;
using System.Data;
using System.Text.Json;
using LlamaIpc.Testing;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class ToolTests
{
    private const string Question = "What is 6 times 7?";

    private static ReplayScript Script => new ReplayScript()
        .Answer().Thought("Let me calculate.").Text("One moment.")
        .Call("multiply", "{\"x\": 6, \"y\": 7}", "call_1").Call("multiply", "{\"x\": 1, \"y\": 2}", "call_2")
        .Answer().Text("It is 42.");

    [HostFact]
    public async Task Calls_come_whole_with_one_finish_reason()
    {
        await using ReplayHost host = await StartAsync(Script);
        using IChatClient chat = host.Client.AsIChatClient();
        List<ChatResponseUpdate> updates = [];
        await foreach (ChatResponseUpdate update in chat.GetStreamingResponseAsync(Question, WithTools()))
        {
            updates.Add(update);
        }
        Assert.Single(updates.Select(update => (update.ResponseId, update.MessageId)).Distinct());
        AIContent[] contents = [.. updates.SelectMany(update => update.Contents)];
        Assert.Equal("Let me calculate.", string.Concat(contents.OfType<TextReasoningContent>().Select(c => c.Text)));
        Assert.Equal("One moment.", string.Concat(contents.OfType<TextContent>().Select(c => c.Text)));
        FunctionCallContent[] calls = [.. contents.OfType<FunctionCallContent>()];
        Assert.Equal(["call_1", "call_2"], calls.Select(call => call.CallId));
        Assert.Equal(6, ((JsonElement)calls[0].Arguments!["x"]!).GetInt32());
        Assert.Single(contents.OfType<UsageContent>());
        Assert.Equal(ChatFinishReason.ToolCalls, updates[^1].FinishReason);
    }

    [HostFact]
    public async Task A_call_that_was_cut_off_is_none()
    {
        await using ReplayHost host = await StartAsync(
            new ReplayScript().Answer().Call("multiply", "{\"x\": 6, ", "call_1").EndOfContext());
        using IChatClient chat = host.Client.AsIChatClient();
        ChatResponse response = await chat.GetResponseAsync(Question, WithTools());
        Assert.Equal(ChatFinishReason.Length, response.FinishReason);
        Assert.Empty(response.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>());
    }

    [HostFact]
    public async Task Function_invocation_calls_the_function_and_the_model_gets_its_result()
    {
        await using ReplayHost host = await StartAsync(Script);
        List<(int X, int Y)> called = [];
        [Description("Multiplies two numbers.")]
        int Multiply(int x, int y)
        {
            called.Add((x, y));
            return x * y;
        }
        using IChatClient chat = host.Client.AsIChatClient().AsBuilder().UseFunctionInvocation().Build();
        ChatOptions options = new() { Tools = [AIFunctionFactory.Create(Multiply, "multiply")] };
        ChatResponse response = await chat.GetResponseAsync(Question, options);
        Assert.Equal([(6, 7), (1, 2)], called);
        Assert.EndsWith("It is 42.", response.Text, StringComparison.Ordinal);
        FunctionResultContent[] results =
            [.. response.Messages.SelectMany(message => message.Contents).OfType<FunctionResultContent>()];
        Assert.Equal(["call_1", "call_2"], results.Select(result => result.CallId));

        // The same in a conversation that the client keeps.
        using LlamaChatClient keeping = new(host.Client);
        using IChatClient invoking = keeping.AsBuilder().UseFunctionInvocation().Build();
        options.ConversationId = keeping.CreateConversation();
        Assert.EndsWith("It is 42.", (await invoking.GetResponseAsync(Question, options)).Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_request_holds_what_was_said_called_and_asked_for()
    {
        List<ChatMessage> messages =
        [
            new(ChatRole.User, Question),
            new(ChatRole.Assistant,
            [
                new TextReasoningContent("Let me calculate."),
                new FunctionCallContent("call_1", "multiply", new Dictionary<string, object?> { ["x"] = 6, ["y"] = 7 }),
            ]),
            new(ChatRole.Tool, [new FunctionResultContent("call_1", 42), new FunctionResultContent("call_2", "a text")]),
        ];
        ChatOptions options = WithTools();
        options.ToolMode = ChatToolMode.RequireSpecific("multiply");
        options.AllowMultipleToolCalls = false;
        options.ResponseFormat = ChatResponseFormat.ForJsonSchema<Product>();
        options.Reasoning = new ReasoningOptions { Effort = ReasoningEffort.Low };
        LlamaRequest request = ChatRequests.Of(messages, options, null!);
        Assert.Equal("Let me calculate.", request.Messages[1].Thought);
        Assert.Equal([new LlamaCall("call_1", "multiply", "{\"x\":6,\"y\":7}")], request.Messages[1].Calls);
        Assert.Equal(4, request.Messages.Count);
        Assert.Equal(LlamaMessage.ToolResult("call_1", "multiply", "42"), request.Messages[2]);
        Assert.Equal("a text", request.Messages[3].Text);
        Assert.Equal("multiply", request.Tools[0].Name);
        Assert.Equal("multiply", request.ToolChoice);
        Assert.False(request.ParallelToolCalls);
        Assert.Equal("object", JsonDocument.Parse(request.JsonSchema!).RootElement.GetProperty("type").GetString());
        Assert.Equal("low", request.ReasoningEffort);
    }

    [HostFact]
    public async Task Tools_that_the_host_does_not_have_are_refused_by_name()
    {
        await using ReplayHost host = await StartAsync(Script);
        using IChatClient chat = host.Client.AsIChatClient();
        NotSupportedException e = await Assert.ThrowsAsync<NotSupportedException>(
            () => chat.GetResponseAsync(Question, new() { Tools = [new HostedWebSearchTool()] }));
        Assert.Contains("HostedWebSearchTool", e.Message, StringComparison.Ordinal);
        e = await Assert.ThrowsAsync<NotSupportedException>(
            () => chat.GetResponseAsync(Question, new() { ToolMode = ChatToolMode.RequireAny }));
        Assert.Contains("ToolMode", e.Message, StringComparison.Ordinal);
    }

    [HostFact]
    public async Task Parts_are_read_in_their_order_and_the_result_holds_them()
    {
        await using ReplayHost host = await StartAsync(Script);
        using LlamaStream stream = host.Client.OpenStream(new LlamaRequest(Question));
        List<LlamaPart> parts = [];
        await foreach (LlamaPart part in stream.ReadPartsAsync())
        {
            parts.Add(part);
        }
        LlamaPartKind[] order = [.. parts.Select(part => part.Kind)];
        Assert.Equal("One moment.", stream.Result!.Text);
        Assert.Equal("{\"x\": 6, \"y\": 7}", string.Concat(parts.Where(part => part.CallId == "call_1").Select(part => part.Text)));
        Assert.True(Array.IndexOf(order, LlamaPartKind.Thought) < Array.IndexOf(order, LlamaPartKind.Text));
        Assert.True(Array.LastIndexOf(order, LlamaPartKind.Text) < Array.IndexOf(order, LlamaPartKind.Call));
    }

    [HostFact]
    public async Task The_embedded_model_calls_a_function_and_says_what_it_answered()
    {
        await using LlamaClient llama = await LlamaClient.ConnectAsync(ModernOptions());
        List<string> called = [];
        [Description("Works out an arithmetic expression.")]
        string Calculate(string expression)
        {
            called.Add(expression);
            return $"{new DataTable().Compute(expression, null)}";
        }
        using IChatClient chat = llama.AsIChatClient().AsBuilder().UseFunctionInvocation().Build();
        ChatOptions options = new() { Tools = [AIFunctionFactory.Create(Calculate, "calculate")] };
        Assert.Equal("12*7 is 84, and 9+4 is 13.", (await chat.GetResponseAsync("What is 12*7 and 9+4?", options)).Text);
        Assert.Equal(["12*7", "9+4"], called);

        options.Reasoning = new ReasoningOptions { Effort = ReasoningEffort.Low };
        ChatResponse thoughtful = await chat.GetResponseAsync("What is 5+6?", options);
        Assert.Equal("5+6 is 11.", thoughtful.Text);
        Assert.NotEmpty(thoughtful.Messages.SelectMany(message => message.Contents).OfType<TextReasoningContent>());
    }

    [HostFact]
    public async Task The_embedded_model_thinks_where_it_is_asked_to()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        LlamaPartKind[] plain = await KindsAsync(client, new LlamaRequest("What is a pointer?"));
        LlamaPartKind[] thoughtful = await KindsAsync(client, new LlamaRequest("What is a pointer?") { Thinking = true });
        Assert.Equal([LlamaPartKind.Text], plain);
        Assert.Equal([LlamaPartKind.Thought, LlamaPartKind.Text], thoughtful);
    }

    /// <summary>The kinds of an answer's parts, in their order.</summary>
    private static async Task<LlamaPartKind[]> KindsAsync(LlamaClient client, LlamaRequest request)
    {
        using LlamaStream stream = client.OpenStream(request);
        List<LlamaPartKind> kinds = [];
        await foreach (LlamaPart part in stream.ReadPartsAsync())
        {
            if (kinds.Count == 0 || kinds[^1] != part.Kind)
            {
                kinds.Add(part.Kind);
            }
        }
        return [.. kinds];
    }

    private static Task<ReplayHost> StartAsync(ReplayScript script) =>
        ReplayHost.StartAsync(script, new LlamaClientOptions { HostPath = HostPath });

    private static ChatOptions WithTools() => new()
    {
        Tools = [AIFunctionFactory.Create((int x, int y) => x * y, "multiply", "Multiplies two numbers.")],
    };

    private sealed record Product(int Value);
}
