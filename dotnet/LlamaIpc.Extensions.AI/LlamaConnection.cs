// A client that is connected when it is first needed, and again when its host has gone.
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace LlamaIpc;

/// <summary>
/// A <see cref="LlamaClient"/> for programs that live longer than a host: connected with the first use, and connected anew
/// with the first use after the host has ended or was killed. All members may be used from any thread.
/// </summary>
public sealed partial class LlamaConnection : IDisposable, IAsyncDisposable
{
    private readonly LlamaClientOptions options;
    private readonly ILogger? logger;
    private readonly CancellationTokenSource disposing = new();
    private readonly object gate = new();
    private Task<LlamaClient>? connecting;

    /// <summary>Makes a connection; nothing is started before it is used.</summary>
    /// <param name="options">How to find or start the host; null: the defaults.</param>
    /// <param name="logger">Is told of each host that is connected to, and of each that has gone.</param>
    public LlamaConnection(LlamaClientOptions? options = null, ILogger<LlamaConnection>? logger = null)
    {
        this.options = options ?? new LlamaClientOptions();
        this.logger = logger;
    }

    /// <summary>The client, if it is connected; null if not yet, or not any more.</summary>
    public LlamaClient? Current
    {
        get
        {
            Task<LlamaClient>? current = connecting;
            return current is { IsCompletedSuccessfully: true } && IsUsable(current.Result) ? current.Result : null;
        }
    }

    /// <summary>Whether there has been a host.</summary>
    internal bool WasConnected => connecting is { IsCompleted: true };

    /// <summary>The client, connected: the host is started and its model loaded if they are not.</summary>
    /// <param name="cancellationToken">Ends the waiting of this caller; others go on waiting.</param>
    /// <exception cref="LlamaIpcException">As by <see cref="LlamaClient.ConnectAsync"/>.</exception>
    /// <exception cref="ObjectDisposedException">The connection is closed.</exception>
    public ValueTask<LlamaClient> GetAsync(CancellationToken cancellationToken = default) =>
        GetAsync(lost: null, cancellationToken);

    /// <summary>
    /// Sends a request and returns the pieces of the answer as they arrive, also beyond the death of the host: the next one goes
    /// on with the answer, and what was returned already is neither repeated nor lost. Leaving the loop stops the host's work.
    /// </summary>
    /// <param name="request">The request; it is made <see cref="LlamaRequest.Detachable"/>.</param>
    /// <param name="cancellationToken">Stops the host's work; the loop then ends with a <see cref="RequestCanceledException"/>.</param>
    /// <returns>The pieces, each of whole characters.</returns>
    /// <exception cref="AnswerTruncatedException">There was no more room for the answer.</exception>
    /// <exception cref="HostNotFoundException">The host has gone, and the options say not to start one.</exception>
    /// <exception cref="LlamaIpcException">Another reason, told by <see cref="LlamaIpcException.Error"/>.</exception>
    public async IAsyncEnumerable<string> StreamAsync(
        LlamaRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        LlamaClient client = await GetAsync(cancellationToken).ConfigureAwait(false);
        LlamaStream stream = client.OpenStream(request with { Detachable = true });
        try
        {
            bool? hasPiece;
            do
            {
                await using IAsyncEnumerator<string> pieces =
                    stream.ReadAllAsync(cancellationToken).GetAsyncEnumerator(CancellationToken.None);
                while ((hasPiece = await TryMoveNextAsync(pieces, client, cancellationToken).ConfigureAwait(false)) == true)
                {
                    yield return pieces.Current;
                }
                if (hasPiece is null)
                {
                    (string id, long offset) = (stream.Id, stream.Offset);
                    stream.Dispose();
                    (client, stream) = await FollowAsync(client, id, offset, cancellationToken).ConfigureAwait(false);
                }
            }
            while (hasPiece is null);
            if (stream.Result is { IsTruncated: true } truncated)
            {
                throw new AnswerTruncatedException(truncated);
            }
        }
        finally
        {
            stream.Dispose();
        }
    }

    /// <summary>Null: the host has gone, or another loop has noticed that and closed its client.</summary>
    private async ValueTask<bool?> TryMoveNextAsync(
        IAsyncEnumerator<string> pieces, LlamaClient client, CancellationToken cancellationToken)
    {
        try
        {
            return await pieces.MoveNextAsync().ConfigureAwait(false);
        }
        catch (HostGoneException)
        {
            return null;
        }
        catch (RequestCanceledException) when (!cancellationToken.IsCancellationRequested
            && !disposing.IsCancellationRequested && !IsUsable(client))
        {
            return null;
        }
    }

    /// <summary>The answer in the host that comes after that of <paramref name="lost"/>, which may die, too.</summary>
    private async ValueTask<(LlamaClient Client, LlamaStream Stream)> FollowAsync(
        LlamaClient lost, string id, long offset, CancellationToken cancellationToken)
    {
        while (true)
        {
            LlamaClient client = await GetAsync(lost, cancellationToken).ConfigureAwait(false);
            try
            {
                return (client, client.Attach(id, offset));
            }
            catch (HostGoneException)
            {
                lost = client;
            }
        }
    }

    private async ValueTask<LlamaClient> GetAsync(LlamaClient? lost, CancellationToken cancellationToken)
    {
        Task<LlamaClient> current;
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(disposing.IsCancellationRequested, this);
            if (connecting is null || connecting.IsFaulted || connecting.IsCanceled
                || (connecting.IsCompletedSuccessfully && (connecting.Result == lost || !IsUsable(connecting.Result))))
            {
                connecting = ConnectAsync(connecting);
            }
            current = connecting;
        }
        return await current.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Leaves the host; one that was started with this process ends.</summary>
    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    /// <inheritdoc cref="Dispose"/>
    /// <returns>Ends when it is closed.</returns>
    public async ValueTask DisposeAsync()
    {
        Task<LlamaClient>? last;
        lock (gate)
        {
            if (disposing.IsCancellationRequested)
            {
                return;
            }
            disposing.Cancel();
            last = connecting;
        }
        if (last != null)
        {
            await CloseAsync(last).ConfigureAwait(false);
        }
    }

    private static bool IsUsable(LlamaClient client)
    {
        try
        {
            return client.Status.State is not (LlamaHostState.Gone or LlamaHostState.Ending);
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
    }

    private static async Task CloseAsync(Task<LlamaClient> connected)
    {
        await Task.WhenAny(connected).ConfigureAwait(false);
        if (connected.IsCompletedSuccessfully)
        {
            await connected.Result.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task<LlamaClient> ConnectAsync(Task<LlamaClient>? former)
    {
        // What follows is not for the thread that holds the lock.
        await Task.Yield();
        if (former != null)
        {
            if (former.IsCompletedSuccessfully)
            {
                LogGone(Instance);
            }
            await CloseAsync(former).ConfigureAwait(false);
        }
        LlamaClient client =
            await LlamaClient.ConnectAsync(options, cancellationToken: disposing.Token).ConfigureAwait(false);
        LlamaHostStatus status = client.Status;
        LogConnected(Instance, status.ProcessId, status.Model);
        return client;
    }

    private string Instance => options.InstanceName ?? "default";

    private void LogConnected(string instance, int processId, string model)
    {
        if (logger != null)
        {
            LogConnected(logger, instance, processId, model);
        }
    }

    private void LogGone(string instance)
    {
        if (logger != null)
        {
            LogGone(logger, instance);
        }
    }

    [LoggerMessage(1, LogLevel.Information, "Connected to the host of instance {Instance}, process {ProcessId}, with the model {Model}")]
    private static partial void LogConnected(ILogger logger, string instance, int processId, string model);

    [LoggerMessage(2, LogLevel.Warning, "The host of instance {Instance} has gone; connecting anew")]
    private static partial void LogGone(ILogger logger, string instance);
}
