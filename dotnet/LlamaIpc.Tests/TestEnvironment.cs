// What the tests share: where the host is, instance names of their own. ProcessesOfLinux.cs has the rest of it, for which the
// tests of the build for Windows have their own (tests/windows/LibraryTests).
using System.Diagnostics;
using Xunit;

// One after the other: several tests count processes or file descriptors, or change the environment.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace LlamaIpc.Tests;

/// <summary>A test with a time limit. The limit works for tests that return a task.</summary>
internal sealed class LimitedFactAttribute : FactAttribute
{
    public LimitedFactAttribute() => Timeout = TestEnvironment.LimitMs;
}

/// <summary>A test that needs the host program; skipped if that has not been built.</summary>
internal sealed class HostFactAttribute : FactAttribute
{
    public HostFactAttribute()
    {
        Timeout = TestEnvironment.LimitMs;
        if (!File.Exists(TestEnvironment.HostPath))
        {
            Skip = $"The host program '{TestEnvironment.HostPath}' does not exist: build it, or set LIPC_CHATBOT.";
        }
    }
}

/// <summary>The same for several cases.</summary>
internal sealed class HostTheoryAttribute : TheoryAttribute
{
    public HostTheoryAttribute()
    {
        HostFactAttribute fact = new();
        (Timeout, Skip) = (fact.Timeout, fact.Skip);
    }
}

internal static partial class TestEnvironment
{
    /// <summary>After this long a test hangs; it says nothing about speed.</summary>
    internal const int LimitMs = 300_000;

    private static int instances;

    static TestEnvironment() => AppDomain.CurrentDomain.ProcessExit += (_, _) => SweepUp();

    private static string NamePrefix => $"cs{Environment.ProcessId}_";

    /// <summary>The root of the repository.</summary>
    internal static string Root { get; } = FindRoot();

    /// <summary>The host program.</summary>
    internal static string HostPath { get; } =
        Environment.GetEnvironmentVariable("LIPC_CHATBOT") is { Length: > 0 } chosen
            ? Path.GetFullPath(chosen)
            : Path.Combine(Root, "build", "chatbot");

    /// <summary>An instance name that nobody else uses.</summary>
    internal static string NewName() => $"{NamePrefix}{Interlocked.Increment(ref instances)}";

    /// <summary>Options for a host of a test's own, whose answers are always the same.</summary>
    internal static LlamaCppClientOptions Options(params string[] extraArguments) => new()
    {
        ExecutablePath = HostPath,
        InstanceName = NewName(),
        ExtraArguments = ["--temp", "0", .. extraArguments],
        ConnectTimeout = TimeSpan.FromSeconds(120),
        RequestTimeout = TimeSpan.FromSeconds(120),
    };

    /// <summary>A client that is connected to a host of its own.</summary>
    internal static async Task<LlamaCppStreamingClient> ConnectAsync(LlamaCppClientOptions? options = null)
    {
        LlamaCppStreamingClient client = new();
        try
        {
            await client.InitializeAsync(options ?? Options());
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    /// <summary>Options of the modern channel for a host of a test's own, with the embedded model.</summary>
    internal static LlamaClientOptions ModernOptions(params string[] arguments) => new()
    {
        HostPath = HostPath,
        InstanceName = NewName(),
        AttachTimeout = TimeSpan.FromSeconds(120),
        HostArguments = ["--temp", "0", .. arguments],
    };

    /// <summary>Runs a blocking call on a thread of its own, so that the test's time limit can end it.</summary>
    internal static Task<T> Blocking<T>(Func<T> call) => Task.Factory.StartNew(
        call, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    internal static Task Blocking(Action call) => Blocking(() =>
    {
        call();
        return true;
    });

    /// <summary>Waits until something holds. Fails with the description if it does not within a minute.</summary>
    internal static async Task EventuallyAsync(Func<bool> condition, string description)
    {
        Stopwatch watch = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"Still not so after a minute: {description}.");
            await Task.Delay(5);
        }
    }

    /// <summary>
    /// Sends a question, and again where the machine was too busy to let this process read the answer: the host gives the turn to
    /// whoever waits if a client takes nothing of its complete answer for a quarter of a second.
    /// </summary>
    internal static async Task<string> AnswerInTurnAsync(Func<Task<string>> send)
    {
        const int Most = 20;
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await send();
            }
            catch (HostTimeoutException e) when (
                attempt < Most && e.Message.Contains("another client has its turn", StringComparison.Ordinal))
            {
            }
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at != null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "include", "lipc", "lipc.h")))
            {
                return at.FullName;
            }
        }
        throw new DirectoryNotFoundException("The tests must run inside the repository: they read its headers.");
    }
}

/// <summary>A folder that is removed when disposed.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    internal string Path { get; } = Directory.CreateTempSubdirectory("lipc-test-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>
/// An answer that takes minutes: whatever happens to it in a test happens in its middle, on a machine of any speed.
/// </summary>
internal sealed class LongAnswer : IDisposable
{
    private const int Words = 5000; // of five bytes: they fit into the guide's channel
    private const int WordsPerSecond = 20;

    private readonly TemporaryFolder folder = new();

    internal LongAnswer() => File.WriteAllText(Script, string.Concat(Enumerable.Repeat("word ", Words)));

    private string Script => Path.Combine(folder.Path, "answer.txt");

    /// <summary>What makes a host play it.</summary>
    internal string[] Arguments => ["--replay", Script, "--rate", $"{WordsPerSecond}"];

    public void Dispose() => folder.Dispose();
}

/// <summary>A client of a host of its own that plays a text instead of running a model.</summary>
internal sealed class Replay : IAsyncDisposable
{
    private readonly TemporaryFolder folder;

    private Replay(TemporaryFolder folder, string text, LlamaClient client)
    {
        this.folder = folder;
        Text = text;
        Client = client;
    }

    /// <summary>A text of so many words, each a token of the replay, with characters of one to four bytes.</summary>
    internal static string Words(int count) => string.Concat(Enumerable.Range(0, count).Select(i => $"w{i}äЖ€🎉 "));

    internal string Text { get; }

    internal LlamaClient Client { get; }

    internal LlamaClientOptions Options { get; private init; } = new();

    internal static async Task<Replay> StartAsync(
        string text, int rate, int wakesPerSecond = 0, params string[] arguments)
    {
        TemporaryFolder folder = new();
        string path = System.IO.Path.Combine(folder.Path, "answer.txt");
        await File.WriteAllTextAsync(path, text);
        LlamaClientOptions options = TestEnvironment.ModernOptions() with
        {
            HostArguments = ["--replay", path, "--rate", $"{rate}", .. arguments],
            WakesPerSecond = wakesPerSecond,
        };
        return new Replay(folder, text, await LlamaClient.ConnectAsync(options)) { Options = options };
    }

    /// <summary>Another client of the same host.</summary>
    internal Task<LlamaClient> AnotherClientAsync() =>
        LlamaClient.ConnectAsync(Options with { Start = HostStart.Never });

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        folder.Dispose();
    }
}

/// <summary>Values of environment variables and a current folder, until disposed.</summary>
internal sealed class Surroundings : IDisposable
{
    private readonly string folder = Environment.CurrentDirectory;
    private readonly Dictionary<string, string?> former = [];
    private readonly TemporaryFolder temporary = new();

    /// <summary>
    /// A folder in which "./build/chatbot" is the host, and an environment in which a host without arguments has a name
    /// of its own and always answers alike.
    /// </summary>
    internal Surroundings()
    {
        Directory.CreateDirectory(Path.Combine(temporary.Path, "build"));
        File.CreateSymbolicLink(Path.Combine(temporary.Path, "build", "chatbot"), TestEnvironment.HostPath);
        Environment.CurrentDirectory = temporary.Path;
        Name = TestEnvironment.NewName();
        Set("LIPC_NAME", Name);
        Set("LLAMA_ARG_TEMPERATURE", "0");
    }

    internal string Name { get; }

    internal string Folder => temporary.Path;

    public void Dispose()
    {
        Environment.CurrentDirectory = folder;
        foreach ((string variable, string? value) in former)
        {
            Environment.SetEnvironmentVariable(variable, value);
        }
        temporary.Dispose();
    }

    private void Set(string variable, string value)
    {
        former[variable] = Environment.GetEnvironmentVariable(variable);
        Environment.SetEnvironmentVariable(variable, value);
    }
}
