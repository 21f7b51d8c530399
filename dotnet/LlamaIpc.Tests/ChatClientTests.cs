// IChatClient with the embedded model: its contract, and Microsoft.Extensions.AI's own middleware over it.
using System.Diagnostics.Metrics;
using System.Reflection;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class ChatClientTests
{
    private const string Question = "What is C++?";

    [HostFact]
    public async Task A_streamed_answer_has_one_id_one_finish_reason_and_one_usage_record()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using IChatClient chat = client.AsIChatClient();
        List<ChatResponseUpdate> updates = await ToListAsync(chat.GetStreamingResponseAsync(Question));

        Assert.Equal(await client.AskAsync(Question), string.Concat(updates.Select(update => update.Text)));
        Assert.Single(updates.Select(update => (update.ResponseId, update.MessageId)).Distinct());
        Assert.NotNull(updates[0].ResponseId);
        Assert.All(updates, update => Assert.Equal(ChatRole.Assistant, update.Role));
        Assert.All(updates[..^1], update => Assert.Null(update.FinishReason));
        Assert.Equal(ChatFinishReason.Stop, updates[^1].FinishReason);
        UsageDetails usage = updates.SelectMany(update => update.Contents).OfType<UsageContent>().Single().Details;
        Assert.True(usage.InputTokenCount > 0 && usage.OutputTokenCount > 0);
        Assert.Equal(usage.TotalTokenCount, usage.InputTokenCount + usage.OutputTokenCount);
    }

    [HostFact]
    public async Task A_whole_answer_can_be_appended_to_the_history_and_sent_back()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using IChatClient chat = client.AsIChatClient();
        List<ChatMessage> history = [new(ChatRole.System, "You are a helpful tutor"), new(ChatRole.User, Question)];
        ChatResponse first = await chat.GetResponseAsync(history);
        Assert.Single(first.Messages);
        history.AddMessages(first);
        history.Add(new ChatMessage(ChatRole.User, "What is a pointer?"));
        ChatResponse second = await chat.GetResponseAsync(history);
        Assert.NotEqual("", second.Text);
        Assert.True(second.Usage!.CachedInputTokenCount > 0, "the first turn was evaluated again");
        Assert.NotEqual(first.ResponseId, second.ResponseId);
    }

    [HostFact]
    public async Task A_conversation_that_the_client_keeps_gives_what_the_whole_history_gives()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using LlamaChatClient chat = new(client);
        ChatOptions options = new() { ConversationId = chat.CreateConversation() };
        ChatResponse first = await chat.GetResponseAsync(Question, options);
        Assert.Equal(options.ConversationId, first.ConversationId);
        ChatResponse second = await chat.GetResponseAsync("What is a pointer?", options);
        ChatResponse same = await chat.GetResponseAsync(
            [new(ChatRole.User, Question), .. first.Messages, new(ChatRole.User, "What is a pointer?")]);
        Assert.Equal(same.Text, second.Text);
        Assert.Null(same.ConversationId);

        Assert.True(chat.RemoveConversation(options.ConversationId));
        await Assert.ThrowsAsync<ArgumentException>(() => chat.GetResponseAsync(Question, options));
    }

    [HostFact]
    public async Task Options_are_what_the_host_gets()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using IChatClient chat = client.AsIChatClient();
        ChatResponse cut = await chat.GetResponseAsync(Question, new() { MaxOutputTokens = 3 });
        Assert.Equal(3, cut.Usage!.OutputTokenCount);
        Assert.Equal(ChatFinishReason.Length, cut.FinishReason);

        string whole = await client.AskAsync(Question);
        string stop = whole[10..14];
        ChatResponse stopped = await chat.GetResponseAsync(Question, new() { StopSequences = [stop] });
        Assert.Equal(whole[..whole.IndexOf(stop, StringComparison.Ordinal)], stopped.Text);
        Assert.Equal(ChatFinishReason.Stop, stopped.FinishReason);

        LlamaRequest asked = new(LlamaMessage.System("You are a pirate"), LlamaMessage.User(Question));
        ChatResponse instructed = await chat.GetResponseAsync(Question, new() { Instructions = "You are a pirate" });
        Assert.Equal(await client.AskAsync(asked), instructed.Text);

        ChatOptions grammar = new() { AdditionalProperties = new() { ["grammar"] = "root ::= \"yes\"", ["min_p"] = 0.1 } };
        Assert.Equal("yes", (await chat.GetResponseAsync(Question, grammar)).Text);

        ChatOptions raw = new() { RawRepresentationFactory = _ => new LlamaRequest { MaxTokens = 2 }, MaxOutputTokens = 9 };
        Assert.Equal(2, (await chat.GetResponseAsync(Question, raw)).Usage!.OutputTokenCount);
    }

    [HostFact]
    public async Task Two_equal_requests_without_a_seed_differ_and_with_one_they_do_not()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using IChatClient chat = client.AsIChatClient();
        ChatOptions hot = new()
        {
            Temperature = 20,
            TopK = 0,
            TopP = 1,
            MaxOutputTokens = 40,
            AdditionalProperties = new() { ["min_p"] = 0 },
        };
        Assert.NotEqual((await chat.GetResponseAsync(Question, hot)).Text, (await chat.GetResponseAsync(Question, hot)).Text);
        hot.Seed = 7;
        Assert.Equal((await chat.GetResponseAsync(Question, hot)).Text, (await chat.GetResponseAsync(Question, hot)).Text);
    }

    [HostFact]
    public async Task What_the_host_cannot_do_is_refused_by_its_name()
    {
        await using Replay replay = await Replay.StartAsync("an answer", rate: 0);
        using IChatClient chat = replay.Client.AsIChatClient();
        (string Name, ChatOptions Options)[] wrong =
        [
            ("ModelId", new() { ModelId = "gpt-9" }),
            ("AdditionalProperties[\"mirostat\"]", new() { AdditionalProperties = new() { ["mirostat"] = 2 } }),
            ("AdditionalProperties[\"min_p\"]", new() { AdditionalProperties = new() { ["min_p"] = "a lot" } }),
            ("RawRepresentationFactory", new() { RawRepresentationFactory = _ => "a text" }),
        ];
        foreach ((string name, ChatOptions options) in wrong)
        {
            NotSupportedException e = await Assert.ThrowsAsync<NotSupportedException>(
                () => chat.GetResponseAsync(Question, options));
            Assert.Contains(name, e.Message, StringComparison.Ordinal);
        }
        ChatMessage picture = new(ChatRole.User, [new DataContent(new byte[] { 1 }, "image/png")]);
        NotSupportedException data = await Assert.ThrowsAsync<NotSupportedException>(() => chat.GetResponseAsync([picture]));
        Assert.Contains("DataContent", data.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ArgumentNullException>(() => chat.GetResponseAsync((IEnumerable<ChatMessage>)null!));
    }

    [HostFact]
    public async Task Cancelling_and_leaving_the_loop_stop_the_host()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(5000), rate: 100);
        using IChatClient chat = replay.Client.AsIChatClient();
        using CancellationTokenSource cancel = new();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (ChatResponseUpdate _ in chat.GetStreamingResponseAsync(Question, cancellationToken: cancel.Token))
            {
                cancel.Cancel();
            }
        });
        await foreach (ChatResponseUpdate _ in chat.GetStreamingResponseAsync(Question))
        {
            break;
        }
        await EventuallyAsync(() => replay.Client.Status.Running == 0, "the host works on nothing");
    }

    [HostFact]
    public async Task Requests_at_the_same_time_get_their_own_answers()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using IChatClient chat = client.AsIChatClient();
        string expected = (await chat.GetResponseAsync(Question)).Text;
        ChatResponse[] all = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => chat.GetResponseAsync(Question)));
        Assert.All(all, response => Assert.Equal(expected, response.Text));
        Assert.Equal(8, all.Select(response => response.ResponseId).Distinct().Count());
    }

    [HostFact]
    public async Task The_services_are_those_that_middleware_asks_for()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using IChatClient chat = client.AsIChatClient();
        ChatClientMetadata metadata = chat.GetRequiredService<ChatClientMetadata>();
        Assert.Equal("lipc", metadata.ProviderName);
        Assert.Equal(client.Status.Model, metadata.DefaultModelId);
        Assert.Same(client, chat.GetService<LlamaClient>());
        Assert.Same(chat, chat.GetService<IChatClient>());
        Assert.Null(chat.GetService<string>());
        Assert.Null(chat.GetService(typeof(IChatClient), "a key"));
    }

    [HostFact]
    public async Task Middleware_of_Microsoft_runs_over_it()
    {
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        IDistributedCache cache = new MemoryDistributedCache(Microsoft.Extensions.Options.Options.Create(new MemoryDistributedCacheOptions()));
        using IChatClient chat = client.AsIChatClient().AsBuilder()
            .UseDistributedCache(cache)
            .UseFunctionInvocation()
            .UseOpenTelemetry(sourceName: "test")
            .ConfigureOptions(options => options.MaxOutputTokens = 12)
            .Build();
        ChatResponse first = await chat.GetResponseAsync(Question);
        ChatResponse cached = await chat.GetResponseAsync(Question);
        Assert.Equal(first.ResponseId, cached.ResponseId);
        Assert.Equal(first.Text, cached.Text);
        Assert.Equal(12, cached.Usage!.OutputTokenCount);
    }

    [Fact]
    public void Every_option_of_a_client_can_be_configured()
    {
        // A chat client always waits: what it is asked needs the model.
        string[] expected = [.. NamesOf(typeof(LlamaClientOptions)).Except([nameof(LlamaClientOptions.WaitUntilReady)]).Order()];
        Assert.Equal(expected, NamesOf(typeof(LlamaIpcOptions)).Except([nameof(LlamaIpcOptions.ConnectAtStart)]).Order());
        LlamaClientOptions options = new LlamaIpcOptions { OtherModel = OtherModel.Load, ModelPath = "m.gguf" }.ToClientOptions();
        Assert.Equal((OtherModel.Load, "m.gguf"), (options.OtherModel, options.ModelPath));

        static IEnumerable<string> NamesOf(Type type) =>
            type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Select(property => property.Name);
    }

    [HostFact]
    public async Task An_application_gets_it_by_dependency_injection()
    {
        string name = NewName();
        IConfiguration configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Llama:InstanceName"] = name,
            ["Llama:HostPath"] = HostPath,
            ["Llama:HostArguments:0"] = "--temp",
            ["Llama:HostArguments:1"] = "0",
        }).Build();
        ServiceCollection services = new();
        services.AddLogging();
        services.AddLlamaIpcChatClient(configuration.GetSection("Llama")).UseLogging();
        services.AddKeyedLlamaIpcChatClient("other", options =>
        {
            options.InstanceName = name + "_other";
            options.HostPath = HostPath;
        });
        services.AddHealthChecks().AddLlamaIpc().AddLlamaIpc("other", "other");
        await using (ServiceProvider provider = services.BuildServiceProvider())
        {
            HealthCheckService health = provider.GetRequiredService<HealthCheckService>();
            Assert.Equal(HealthStatus.Degraded, (await health.CheckHealthAsync()).Status);
            IChatClient chat = provider.GetRequiredService<IChatClient>();
            string expected = (await chat.GetResponseAsync(Question)).Text;
            Assert.NotEqual("", expected);
            IChatClient other = provider.GetRequiredKeyedService<IChatClient>("other");
            Assert.NotEqual("", (await other.GetResponseAsync(Question)).Text);
            Assert.NotEqual(
                chat.GetService<LlamaClient>()!.Status.ProcessId, other.GetService<LlamaClient>()!.Status.ProcessId);
            Assert.Equal(HealthStatus.Healthy, (await health.CheckHealthAsync()).Status);

            // A host that is killed is missed, and the next request has another.
            int host = chat.GetService<LlamaClient>()!.Status.ProcessId;
            Signal(host, SigKill);
            await EventuallyAsync(() => chat.GetService<LlamaClient>() is null, "the host is missed");
            Assert.Equal(HealthStatus.Unhealthy, (await health.CheckHealthAsync()).Entries["llama_ipc"].Status);
            Assert.Equal(expected, (await chat.GetResponseAsync(Question)).Text);
        }
        Assert.Empty(ObjectsOf(name));
    }

    [HostFact]
    public async Task The_meter_tells_the_time_to_the_first_token()
    {
        List<string> names = [];
        using MeterListener listener = new();
        listener.InstrumentPublished = (instrument, me) =>
        {
            if (instrument.Meter.Name == "LlamaIpc")
            {
                me.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) =>
        {
            lock (names)
            {
                Assert.True(value >= 0);
                names.Add(instrument.Name);
            }
        });
        listener.Start();
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions());
        using IChatClient chat = client.AsIChatClient();
        await chat.GetResponseAsync(Question);
        string[] expected =
            ["gen_ai.server.request.duration", "gen_ai.server.time_per_output_token", "gen_ai.server.time_to_first_token"];
        Assert.Equal(expected, names.Order());
    }

    private static async Task<List<ChatResponseUpdate>> ToListAsync(IAsyncEnumerable<ChatResponseUpdate> updates)
    {
        List<ChatResponseUpdate> list = [];
        await foreach (ChatResponseUpdate update in updates)
        {
            list.Add(update);
        }
        return list;
    }
}
