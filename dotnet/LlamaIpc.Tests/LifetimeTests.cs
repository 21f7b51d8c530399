// Starting, attaching, ending: who owns a host, and what is left behind.
using System.Runtime.CompilerServices;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class LifetimeTests
{
    private const string Question = "What is C++?";

    private static readonly TimeSpan Plenty = TimeSpan.FromMinutes(1);

    [HostFact]
    public async Task Disposing_ends_a_host_that_was_started()
    {
        LlamaCppStreamingClient client = await ConnectAsync();
        int host = client.HostProcessId;
        Assert.True(IsAlive(host));
        client.Dispose();
        Assert.False(IsAlive(host));
        Assert.Equal(0, client.HostProcessId);
        client.Dispose();
        await client.DisposeAsync();
        Assert.Throws<ObjectDisposedException>(() => client.SendRequest(Question));
        Assert.Throws<ObjectDisposedException>(() => client.SendStreamingRequest(Question));
        Assert.Throws<ObjectDisposedException>(() => client.Initialize(HostPath));
        Assert.Throws<ObjectDisposedException>(() => client.Shutdown(TimeSpan.Zero));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.SendRequestAsync(Question));
    }

    [HostFact]
    public async Task Disposing_asynchronously_ends_the_host()
    {
        int host;
        await using (LlamaCppStreamingClient client = await ConnectAsync())
        {
            host = client.HostProcessId;
        }
        Assert.False(IsAlive(host));
    }

    [LimitedFact]
    public async Task A_client_that_was_never_connected_can_be_disposed_and_says_so_when_used()
    {
        LlamaCppStreamingClient client = new();
        Assert.Throws<InvalidOperationException>(() => client.SendRequest(Question));
        await Assert.ThrowsAsync<InvalidOperationException>(() => client.SendStreamingRequestAsync(Question));
        Assert.Equal(0, client.HostProcessId);
        Assert.Empty(client.HostErrorLines);
        await client.DisposeAsync();
        client.Dispose();
    }

    [HostFact]
    public async Task Connecting_twice_is_an_error()
    {
        using LlamaCppStreamingClient client = await ConnectAsync();
        Assert.Throws<InvalidOperationException>(() => client.Initialize(HostPath));
        Assert.NotEqual("", await client.SendRequestAsync(Question));
    }

    [HostFact]
    public async Task Disposing_while_another_thread_streams_ends_both()
    {
        LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos"));
        int host = client.HostProcessId;
        using HeldRequest held = await HeldRequest.StartAsync(client);
        await Blocking(client.Dispose);
        Assert.False(IsAlive(host));
        held.LetGo(); // Its handler was still running when Dispose returned.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => held.Answer);
    }

    [HostFact]
    public async Task Disposing_while_asynchronous_requests_wait_ends_them()
    {
        LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos"));
        int host = client.HostProcessId;
        Pause(host); // a host that hangs
        Task<string> request = client.SendRequestAsync(Question);
        Task<string> queued = client.SendStreamingRequestAsync(Question);
        Task<string> blocked = Blocking(() => client.SendRequest(Question));
        await client.DisposeAsync();
        Assert.False(IsAlive(host));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => request);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => queued);
        Exception? thrown = await Record.ExceptionAsync(() => blocked);
        Assert.True(thrown is OperationCanceledException or ObjectDisposedException, $"{thrown}");
    }

    [HostFact]
    public async Task Disposing_inside_a_handler_ends_the_request()
    {
        LlamaCppStreamingClient client = await ConnectAsync(Options("--ignore-eos"));
        int host = client.HostProcessId;
        client.OnStreamUpdate += (_, _) => client.Dispose();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Blocking(() => client.SendStreamingRequest(Question)));
        Assert.False(IsAlive(host));
    }

    [HostFact]
    public async Task Disposing_from_many_threads_at_once_is_safe()
    {
        LlamaCppStreamingClient client = await ConnectAsync();
        int host = client.HostProcessId;
        using HeldRequest held = await HeldRequest.StartAsync(client);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Blocking(client.Dispose)));
        await EventuallyAsync(() => !IsAlive(host), "the host has ended");
        held.LetGo();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => held.Answer);
    }

    [HostFact]
    public async Task A_running_host_is_used_and_left_alone()
    {
        LlamaCppClientOptions options = Options();
        using LlamaCppStreamingClient owner = await ConnectAsync(options);
        int host = owner.HostProcessId;
        foreach (HostAttachMode mode in (HostAttachMode[])[HostAttachMode.Attach, HostAttachMode.AttachOrStart])
        {
            using LlamaCppStreamingClient guest = await ConnectAsync(options with { AttachToRunningHost = mode });
            Assert.Equal(host, guest.HostProcessId);
            Assert.Empty(guest.HostErrorLines);
            Assert.NotEqual("", await guest.SendRequestAsync(Question));
        }
        Assert.Equal(host, owner.HostProcessId);
        Assert.True(IsAlive(host));
        Assert.NotEqual("", await owner.SendRequestAsync(Question));
    }

    [HostFact]
    public async Task Attaching_without_a_host_fails_at_once()
    {
        LlamaCppClientOptions options = Options() with
        {
            AttachToRunningHost = HostAttachMode.Attach,
            ConnectTimeout = TimeSpan.FromMinutes(10),
        };
        HostNotFoundException e = await Assert.ThrowsAsync<HostNotFoundException>(() => ConnectAsync(options));
        Assert.Equal(LipcError.NoHost, e.Error);
    }

    [HostFact]
    public async Task Clients_that_start_at_the_same_time_share_one_host()
    {
        LlamaCppClientOptions options = Options();
        LlamaCppStreamingClient[] clients = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => ConnectAsync(options)));
        Assert.Single(clients.Select(client => client.HostProcessId).Distinct());
        Assert.All(
            await Task.WhenAll(clients.Select(client => AnswerInTurnAsync(() => client.SendRequestAsync(Question)))),
            answer => Assert.NotEqual("", answer));
        foreach (LlamaCppStreamingClient client in clients)
        {
            client.Dispose();
        }
        Assert.Empty(ObjectsOf(options.InstanceName!));
    }

    [HostFact]
    public async Task Two_clients_one_after_the_other_each_start_their_host()
    {
        LlamaCppClientOptions options = Options() with { AttachToRunningHost = HostAttachMode.Start };
        string? first = null;
        for (int i = 0; i < 2; i++)
        {
            using LlamaCppStreamingClient client = await ConnectAsync(options);
            string answer = await client.SendRequestAsync(Question);
            first ??= answer;
            Assert.Equal(first, answer);
        }
    }

    [HostFact]
    public async Task Shutdown_ends_a_host_also_in_the_middle_of_an_answer_and_a_new_one_can_be_started()
    {
        LlamaCppClientOptions options = Options("--ignore-eos");
        using LlamaCppStreamingClient client = await ConnectAsync(options);
        int host = client.HostProcessId;
        using HeldRequest held = await HeldRequest.StartAsync(client);
        await Blocking(() => client.Shutdown(Plenty));
        Assert.False(IsAlive(host));
        Assert.Empty(ObjectsOf(options.InstanceName!));
        held.LetGo();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => held.Answer);
        await Assert.ThrowsAsync<HostGoneException>(() => client.SendRequestAsync(Question));

        await client.InitializeAsync(options);
        Assert.NotEqual(host, client.HostProcessId);
        Assert.Equal("", await client.SendRequestAsync(""));
        await client.ShutdownAsync(Plenty);
        await client.ShutdownAsync(Plenty); // nothing left to do
    }

    [HostFact]
    public async Task An_answer_that_a_shutdown_cut_short_does_not_pass_for_a_whole_one()
    {
        using LongAnswer longAnswer = new();
        LlamaCppClientOptions options = Options(longAnswer.Arguments);
        using LlamaCppStreamingClient client = new();
        for (int round = 0; round < 5; round++)
        {
            await client.InitializeAsync(options);
            Task<string> request = client.SendRequestAsync(Question);
            await EventuallyAsync(() => client.HostOutputLines.Contains("Processing..."), "the host works on the request");
            await client.ShutdownAsync(Plenty);
            await Assert.ThrowsAsync<RequestCanceledException>(() => request);
        }
    }

    [HostFact]
    public async Task Shutdown_ends_a_host_that_was_attached_to()
    {
        LlamaCppClientOptions options = Options();
        using LlamaCppStreamingClient owner = await ConnectAsync(options);
        int host = owner.HostProcessId;
        using LlamaCppStreamingClient guest =
            await ConnectAsync(options with { AttachToRunningHost = HostAttachMode.Attach });
        await guest.ShutdownAsync(Plenty);
        await EventuallyAsync(() => !IsAlive(host), "the host has ended");
    }

    [HostFact]
    public async Task The_host_outlives_the_thread_that_started_it()
    {
        using LlamaCppStreamingClient client = new();
        LlamaCppClientOptions options = Options();
        Thread starter = new(() => client.Initialize(options));
        starter.Start();
        await Blocking(starter.Join);
        int host = client.HostProcessId;
        for (int i = 0; i < 10; i++)
        {
            await client.SendRequestAsync("");
        }
        Assert.Equal(host, client.HostProcessId);
        Assert.True(IsAlive(host));
    }

    [HostFact]
    public async Task A_forgotten_client_leaves_no_host()
    {
        int host = await StartAndForgetAsync();
        await EventuallyAsync(
            () =>
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
                return !IsAlive(host);
            },
            "the host of the forgotten client has ended");
    }

    [HostFact]
    public async Task Two_hundred_clients_leave_nothing_behind()
    {
        LlamaCppClientOptions options = Options("-n", "4");
        using (await ConnectAsync(options))
        {
            // Once, so that what is loaded only once is loaded.
        }
        string[] before = OpenFiles();
        for (int i = 0; i < 200; i++)
        {
            LlamaCppStreamingClient client = new();
            await client.InitializeAsync(options);
            if (i % 10 == 0)
            {
                await client.SendStreamingRequestAsync(Question);
            }
            client.Dispose();
        }
        Assert.Empty(ObjectsOf(options.InstanceName!));
        Assert.Empty(HostsWith(options.InstanceName!));

        // Pipes, memory and semaphores: whatever else the runtime opens meanwhile is not ours.
        string[] after = [];
        try
        {
            await EventuallyAsync(() => (after = OpenFiles()).Length <= before.Length, "as many files are open as before");
        }
        finally
        {
            Assert.True(
                after.Length <= before.Length,
                $"before: {string.Join(' ', before.Order())}\nafter: {string.Join(' ', after.Order())}");
        }
    }

    [HostFact]
    public async Task Waiting_requests_block_no_thread_of_the_pool()
    {
        LlamaCppClientOptions options = Options();
        using LlamaCppStreamingClient owner = await ConnectAsync(options);
        LlamaCppStreamingClient[] clients = await Task.WhenAll(Enumerable.Range(0, 24).Select(
            _ => ConnectAsync(options with { AttachToRunningHost = HostAttachMode.Attach })));
        int host = owner.HostProcessId;
        ThreadPool.GetMaxThreads(out int most, out int ports);
        Pause(host);
        try
        {
            // Fewer threads than requests: if these held them, no work would ever be done.
            Assert.True(ThreadPool.SetMaxThreads(Math.Max(Environment.ProcessorCount, clients.Length / 2), ports));
            Task<string>[] requests = [.. clients.Select(client => AnswerInTurnAsync(() => client.SendRequestAsync(Question)))];
            await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => Task.Run(() => Thread.Yield()))).WaitAsync(TimeSpan.FromMinutes(1));
            Assert.DoesNotContain(requests, request => request.IsCompleted);
            Resume(host);
            Assert.All(await Task.WhenAll(requests), answer => Assert.NotEqual("", answer));
        }
        finally
        {
            ThreadPool.SetMaxThreads(most, ports);
            Resume(host);
            foreach (LlamaCppStreamingClient client in clients)
            {
                client.Dispose();
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<int> StartAndForgetAsync()
    {
        LlamaCppStreamingClient client = await ConnectAsync();
        await client.SendStreamingRequestAsync(Question);
        return client.HostProcessId;
    }
}

/// <summary>
/// A streaming request whose first update is being handled until it is let go: it is under way for certain.
/// </summary>
internal sealed class HeldRequest : IDisposable
{
    private readonly ManualResetEventSlim letGo = new();
    private readonly TaskCompletionSource isStreaming = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private HeldRequest(LlamaCppStreamingClient client)
    {
        void Hold(object? sender, StreamUpdateEventArgs e)
        {
            isStreaming.TrySetResult();
            letGo.Wait();
        }

        client.OnStreamUpdate += Hold;
        Answer = Blocking(() =>
        {
            try
            {
                return client.SendStreamingRequest("What is C++?");
            }
            finally
            {
                client.OnStreamUpdate -= Hold;
            }
        });
    }

    internal Task<string> Answer { get; }

    public void Dispose() => letGo.Set();

    internal static async Task<HeldRequest> StartAsync(LlamaCppStreamingClient client)
    {
        HeldRequest held = new(client);
        await await Task.WhenAny(held.isStreaming.Task, held.Answer);
        return held;
    }

    internal void LetGo() => letGo.Set();
}
