// A host that plays a script, for the tests of an application.
using System.Diagnostics;

namespace LlamaIpc.Testing;

/// <summary>
/// A real host, with its process and its shared memory, that plays a <see cref="ReplayScript"/> in place of a model. It has
/// an instance name of its own, so that tests do not meet each other, and ends when disposed, or when the test's process
/// ends.
/// </summary>
public sealed class ReplayHost : IAsyncDisposable
{
    private readonly string folder;

    private ReplayHost(string folder, LlamaClientOptions options, LlamaClient client)
    {
        this.folder = folder;
        Options = options;
        Client = client;
    }

    /// <summary>A client that is connected to it.</summary>
    public LlamaClient Client { get; }

    /// <summary>With these, more clients connect to it.</summary>
    public LlamaClientOptions Options { get; }

    /// <summary>Starts a host.</summary>
    /// <param name="script">What it plays.</param>
    /// <param name="options">
    /// Where the host program is, and further arguments for it; null: it is looked for as by <see cref="LlamaClient"/>. The
    /// instance name is chosen here.
    /// </param>
    /// <param name="tokensPerSecond">How fast; 0: as fast as possible.</param>
    /// <param name="cancellationToken">Ends the waiting, and the host.</param>
    public static async Task<ReplayHost> StartAsync(
        ReplayScript script,
        LlamaClientOptions? options = null,
        int tokensPerSecond = 0,
        CancellationToken cancellationToken = default)
    {
        if (script is null)
        {
            throw new ArgumentNullException(nameof(script));
        }
        options ??= new LlamaClientOptions();
        string name = $"replay_{Guid.NewGuid():N}";
        string folder = Path.Combine(Path.GetTempPath(), name);
        Directory.CreateDirectory(folder);
        try
        {
            string file = Path.Combine(folder, "script.txt");
            File.WriteAllText(file, script.ToString());
            options = options with
            {
                InstanceName = name,
                Start = HostStart.WithMe,
                HostArguments = [.. options.HostArguments, "--replay", file, "--rate", $"{tokensPerSecond}"],
            };
            LlamaClient client =
                await LlamaClient.ConnectAsync(options, cancellationToken: cancellationToken).ConfigureAwait(false);
            return new ReplayHost(folder, options with { Start = HostStart.Never }, client);
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    /// <summary>Kills the host's process: what an application sees then is a <see cref="HostGoneException"/>.</summary>
    /// <returns>Ends when the client has noticed.</returns>
    public async Task KillAsync()
    {
        using (Process host = Process.GetProcessById(Client.Status.ProcessId))
        {
            host.Kill();
        }
        while (Client.Status.State != LlamaHostState.Gone)
        {
            await Task.Delay(1).ConfigureAwait(false);
        }
    }

    /// <summary>Ends the host.</summary>
    /// <returns>Ends when it has.</returns>
    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync().ConfigureAwait(false);
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
