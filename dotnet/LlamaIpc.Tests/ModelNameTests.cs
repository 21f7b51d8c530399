// Models by name, from a hub of the test's own: fetched without a host, and by a host that serves meanwhile.
using System.Diagnostics;
using System.Runtime.InteropServices;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class ModelNameTests
{
    private const string Name = "hf://crawl/tutor:Q8_0";
    private const string Question = "What is C++?";

    private static string Tutor => Path.Combine(Root, "models", "tutor.gguf");

    [HubFact]
    public async Task A_download_that_is_cancelled_goes_on_the_next_time()
    {
        await using Hub hub = await Hub.StartAsync();
        LlamaDownload cancelledAt = await CancelledAsync(hub);
        Reports<LlamaDownload> rest = new();
        string path = await LlamaModels.FetchAsync(Name, hub.Options, rest);
        Assert.Equal(await File.ReadAllBytesAsync(Tutor), await File.ReadAllBytesAsync(path));
        LlamaDownload[] moving = [.. rest.All.Where(report => report.Bytes > 0)];
        Assert.NotEmpty(moving);
        Assert.All(moving, report => Assert.InRange(report.Bytes, cancelledAt.Bytes, report.TotalBytes));
        Assert.Equal(new FileInfo(Tutor).Length, moving[^1].TotalBytes);
        Assert.Equal(path, await LlamaModels.FetchAsync(Name, hub.Options with { Offline = true }));
    }

    [HubFact]
    public async Task What_is_wrong_is_said()
    {
        await using Hub hub = await Hub.StartAsync();
        RequestRefusedException missing = await Assert.ThrowsAsync<RequestRefusedException>(
            () => LlamaModels.FetchAsync("hf://user/nothing", hub.Options));
        Assert.Contains("there is no user/nothing", missing.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<RequestInvalidException>(() => LlamaModels.FetchAsync("crawl/tutor", hub.Options));
        await Assert.ThrowsAsync<HostProgramNotFoundException>(
            () => LlamaModels.FetchAsync(Name, hub.Options with { HostPath = "./no/such/host" }));
        await Assert.ThrowsAsync<HostStartException>(
            () => LlamaModels.FetchAsync(Name, hub.Options with { HostPath = Path.Combine(Root, "README.md") }));
        await Assert.ThrowsAsync<ArgumentException>(() => LlamaModels.FetchAsync(""));
        InvalidTimeZoneException own = new("the caller's");
        Reports<LlamaDownload> throwing = new(_ => throw own);
        Assert.Same(own, await Assert.ThrowsAsync<InvalidTimeZoneException>(
            () => LlamaModels.FetchAsync(Name, hub.Options, throwing)));
    }

    [LimitedFact]
    public async Task What_the_last_report_throws_comes_out_though_the_model_is_there()
    {
        // The end comes together with the last news.
        using TemporaryFolder folder = Script("chatbot", "printf 'progress 5 5 1\\npath /a/model\\n' >&2", out string program);
        LlamaFetchOptions options = new() { HostPath = program };
        Assert.Equal("/a/model", await LlamaModels.FetchAsync(Name, options));
        InvalidTimeZoneException own = new("the caller's");
        Reports<LlamaDownload> throwing = new(report =>
        {
            if (report.Bytes == 5)
            {
                throw own;
            }
        });
        Assert.Same(own, await Assert.ThrowsAsync<InvalidTimeZoneException>(
            () => LlamaModels.FetchAsync(Name, options, throwing)));
    }

    [HubFact]
    public async Task A_host_serves_while_it_fetches_the_next_model()
    {
        await using Hub hub = await Hub.StartAsync();
        await using LlamaClient client = await LlamaClient.ConnectAsync(ModernOptions() with { HostPath = hub.Options.HostPath });
        string answer = await client.AskAsync(Question);
        Reports<LlamaHostStatus> reports = new();
        Task loading = client.LoadModelAsync(Name, reports);
        await EventuallyAsync(() => client.Status.DownloadBytes > 0, "the host fetches the model");
        Assert.Equal(answer, await client.AskAsync(Question));
        await loading;
        LlamaHostStatus[] fetching = [.. reports.All.Where(status => status.DownloadBytes > 0)];
        Assert.NotEmpty(fetching);
        Assert.All(fetching, status => Assert.Equal(LlamaHostState.Ready, status.State));
        Assert.Contains(fetching, status => status.DownloadTotalBytes == new FileInfo(Tutor).Length);
        Assert.Equal(0, client.Status.DownloadBytes);
        Assert.EndsWith("tutor-Q8_0.gguf", client.Status.ModelPath, StringComparison.Ordinal);
        Assert.Equal(answer, await client.AskAsync(Question));
    }

    /// <summary>
    /// Cancels a download when something has come. On a machine that is busy it can be over by then: another cache, again.
    /// </summary>
    private static async Task<LlamaDownload> CancelledAsync(Hub hub)
    {
        for (int attempt = 0; attempt < 10; attempt++)
        {
            hub.BeginCache();
            using CancellationTokenSource cancelling = new();
            LlamaDownload? last = null;
            Reports<LlamaDownload> stop = new(report =>
            {
                if (report.Bytes > 0)
                {
                    last = report;
                    cancelling.Cancel();
                }
            });
            try
            {
                await LlamaModels.FetchAsync(Name, hub.Options, stop, cancelling.Token);
            }
            catch (OperationCanceledException e)
            {
                Assert.Equal(cancelling.Token, e.CancellationToken);
                return last!;
            }
        }
        throw new InvalidOperationException("Each download was over before it was cancelled.");
    }

    /// <summary>Keeps all reports, after something has been done with them on the thread that makes them.</summary>
    private sealed class Reports<T>(Action<T>? onReport = null) : IProgress<T>
    {
        private readonly List<T> all = [];

        internal T[] All
        {
            get
            {
                lock (all)
                {
                    return [.. all];
                }
            }
        }

        public void Report(T value)
        {
            onReport?.Invoke(value);
            lock (all)
            {
                all.Add(value);
            }
        }
    }

    /// <summary>A hub, and a host program that knows it and has a cache of its own.</summary>
    private sealed class Hub(Process process, string address) : IAsyncDisposable
    {
        private readonly List<TemporaryFolder> folders = [];

        internal LlamaFetchOptions Options { get; private set; } = new();

        internal static async Task<Hub> StartAsync()
        {
            Process process = Process.Start(new ProcessStartInfo(
                "python3", [Path.Combine(Root, "tests", "models", "serve_hub.py"), Path.Combine(Root, "models", "tutor.gguf")])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
            })!;
            string address = await process.StandardOutput.ReadLineAsync()
                ?? throw new InvalidOperationException("The hub does not start.");
            Hub hub = new(process, address);
            hub.BeginCache();
            return hub;
        }

        internal void BeginCache()
        {
            TemporaryFolder folder = Script(
                "chatbot",
                $"export HF_ENDPOINT={address} LLAMA_CACHE=\"$(dirname \"$0\")/cache\"; exec '{HostPath}' \"$@\"",
                out string path);
            folders.Add(folder);
            Options = new LlamaFetchOptions { HostPath = path };
        }

        public async ValueTask DisposeAsync()
        {
            process.StandardInput.Close();
            await process.WaitForExitAsync();
            process.Dispose();
            folders.ForEach(folder => folder.Dispose());
        }
    }

    /// <summary>A test that needs a server and what fetches from it.</summary>
    private sealed class HubFactAttribute : FactAttribute
    {
        public HubFactAttribute()
        {
            Timeout = LimitMs;
            Skip = new HostFactAttribute().Skip;
            string[] folders = [.. Environment.GetEnvironmentVariable("PATH")!.Split(':'), "/usr/sbin"];
            string[] missing = [.. new[] { "python3", "nginx", "openssl" }
                .Where(program => !folders.Any(folder => File.Exists(Path.Combine(folder, program))))];
            if (missing.Length > 0 || !NativeLibrary.TryLoad("libcurl.so.4", out _))
            {
                Skip ??= $"There is no {string.Join(", ", [.. missing, "libcurl"])} here (scripts/setup.sh test).";
            }
        }
    }
}
