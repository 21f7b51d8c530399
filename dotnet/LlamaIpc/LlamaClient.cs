// The client of the modern channel, on top of liblipc.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>
/// This process's place in a host that holds a language model. Any number of requests can be under way on it at a time.
/// Make one for each application, not one for each request.
/// </summary>
/// <remarks>
/// All members may be used from any thread. No thread of the pool is ever blocked: a thread of the client's own waits
/// for all streams that somebody awaits. Without a <see cref="SynchronizationContext"/>, a loop that is the only one may
/// continue on that thread, and may block it: another one then waits for the others. Members that talk to the host are
/// virtual and there is a constructor for derived classes, so that a test can put a fake in this one's place: one that
/// overrides <see cref="OpenStream(LlamaRequest)"/> and <see cref="Status"/> serves most of them.
/// </remarks>
public class LlamaClient : IDisposable, IAsyncDisposable
{
    /// <summary>
    /// The most that disposing holds up its caller: by then calls of other threads have left the native library.
    /// </summary>
    private static readonly TimeSpan CloseLimit = TimeSpan.FromSeconds(5);

    /// <summary>How often the progress of loading is looked at; to look costs no system call.</summary>
    private static readonly TimeSpan ReportInterval = TimeSpan.FromMilliseconds(30);

    private readonly LipcClientHandle handle;
    private readonly CancellationTokenSource disposing = new();
    private int disposed;

    private LlamaClient(LipcClientHandle handle, bool isPaced)
    {
        this.handle = handle;
        IsPaced = isPaced;
        Streams = new StreamWaiter(handle);
    }

    /// <summary>Makes a client without a host: for a fake, which overrides what is called.</summary>
    protected LlamaClient()
        : this(new LipcClientHandle(), isPaced: false) =>
        GC.SuppressFinalize(this);

    /// <summary>Lets a forgotten client's thread end; the handle's own finalizer leaves the host.</summary>
    ~LlamaClient() => Streams.Stop();

    /// <summary>The version of the native library.</summary>
    public static string NativeLibraryVersion => NativeMethods.Version();

    /// <summary>The host as it is now. Costs no system call.</summary>
    public virtual unsafe LlamaHostStatus Status
    {
        get
        {
            LipcHostStatus native;
            int error = NativeMethods.ClientStatus(handle, &native, (nuint)sizeof(LipcHostStatus));
            return error == (int)LipcError.Ok
                ? new LlamaHostStatus(native)
                : throw LlamaIpcException.Of((LipcError)error, NativeMethods.LastErrorMessage(error));
        }
    }

    /// <summary>Where asynchronous readers of this client's streams wait.</summary>
    internal StreamWaiter Streams { get; }

    /// <summary>Cancelled when the client is disposed.</summary>
    internal CancellationToken Disposing => disposing.Token;

    /// <inheritdoc cref="LipcClientHandle.Operations"/>
    internal NativeOperation Operations() => handle.Operations();

    /// <summary>Whether few wakes were asked for: <see cref="LlamaClientOptions.WakesPerSecond"/>.</summary>
    internal bool IsPaced { get; }

    internal bool IsDisposed => Volatile.Read(ref disposed) != 0;

    /// <summary>
    /// Attaches to a running host, or starts one first, and waits until it has loaded its model, as the options say.
    /// </summary>
    /// <param name="options">How to find or start the host; null: the defaults.</param>
    /// <param name="progress">Is told how far loading is, each time that it changes.</param>
    /// <param name="cancellationToken">Ends the waiting; a host that was started for it ends too.</param>
    /// <exception cref="HostNotFoundException">No host runs, and the options say not to start one.</exception>
    /// <exception cref="HostProgramNotFoundException">There is no host program to start.</exception>
    /// <exception cref="ModelNotFoundException">There is no such model to start a host with.</exception>
    /// <exception cref="HostStartException">
    /// The host ended before it could serve; the message holds its last line.
    /// </exception>
    /// <exception cref="OtherModelException">The host that runs has another model than the one that was asked for.</exception>
    /// <exception cref="HostTimeoutException">Attaching took too long.</exception>
    /// <exception cref="LlamaIpcException">Another reason, told by <see cref="LlamaIpcException.Error"/>.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static async Task<LlamaClient> ConnectAsync(
        LlamaClientOptions? options = null,
        IProgress<LlamaHostStatus>? progress = null,
        CancellationToken cancellationToken = default)
    {
        options ??= new LlamaClientOptions();
        options.Validate();
        cancellationToken.ThrowIfCancellationRequested();
        try
        {
            LlamaClient client = await OpenAsync(options, cancellationToken).ConfigureAwait(false);
            if (options.WaitUntilReady)
            {
                await WaitReadyOrDisposeAsync(client, options, progress, cancellationToken).ConfigureAwait(false);
            }
            return client;
        }
        catch (HostGoneException e)
        {
            throw options.ModelFile is string model && !File.Exists(model)
                ? new ModelNotFoundException(e.Error, $"There is no model '{model}'. {e.Message}", inner: e)
                : new HostStartException(e.Error, e.Message, inner: e);
        }
    }

    /// <summary>Waits until the host has loaded its model.</summary>
    /// <param name="progress">Is told the host's status at once and each time that it changes.</param>
    /// <param name="cancellationToken">Ends the waiting, and nothing else.</param>
    /// <exception cref="HostGoneException">
    /// The host ended; the message holds its last line if this client started it.
    /// </exception>
    /// <exception cref="OperationCanceledException">Cancelled, or the client was disposed.</exception>
    public virtual async Task WaitReadyAsync(
        IProgress<LlamaHostStatus>? progress = null, CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);

        // The native library reports in its waiting thread, and the caller's code is to run elsewhere.
        Channel<LlamaHostStatus> reports = Channel.CreateUnbounded<LlamaHostStatus>();
        using CancellationTokenSource leaving =
            CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, disposing.Token);
        Task waiting = WaiterThread.RunOnOwn(() => WaitReady(reports.Writer, leaving.Token));
        try
        {
            IAsyncEnumerable<LlamaHostStatus> all = reports.Reader.ReadAllAsync(CancellationToken.None);
            await foreach (LlamaHostStatus status in all.ConfigureAwait(false))
            {
                progress?.Report(status);
            }
        }
        catch
        {
            await leaving.CancelAsync().ConfigureAwait(false);
            await Task.WhenAny(waiting).ConfigureAwait(false);
            throw;
        }
        await ThrowAsCallersAsync(waiting, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends a request. Never waits: if the host is busy the request does.</summary>
    /// <param name="request">The request.</param>
    /// <returns>The answer, to be read and disposed.</returns>
    /// <exception cref="RequestRefusedException">It is longer than the host has room for.</exception>
    /// <exception cref="HostGoneException">The host has ended.</exception>
    /// <exception cref="LlamaIpcException">A number is out of its bounds, or there is no message.</exception>
    /// <exception cref="ArgumentException">A text holds U+0000 or half a surrogate pair.</exception>
    public virtual LlamaStream OpenStream(LlamaRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        return new LlamaStream(
            this,
            request.Open(handle),
            offset: 0,
            canBeDetached: request.Detachable,
            limitWasAskedFor: request.MaxTokens >= 0);
    }

    /// <summary>Sends one message of the user. Never waits: if the host is busy the request does.</summary>
    /// <inheritdoc cref="OpenStream(LlamaRequest)"/>
    /// <param name="text">What the user says.</param>
    public LlamaStream OpenStream(string text) => OpenStream(new LlamaRequest(text));

    /// <summary>
    /// Sends a request and returns the pieces of the answer as they arrive; joined, they are the whole answer. Leaving
    /// the loop stops the host's work. Blocks no thread of the pool.
    /// </summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">
    /// Stops the host's work; the loop then ends with a <see cref="RequestCanceledException"/>, which holds what had
    /// arrived.
    /// </param>
    /// <returns>The pieces, each of whole characters.</returns>
    /// <exception cref="AnswerTruncatedException">There was no more room for the answer.</exception>
    /// <exception cref="RequestCanceledException">Cancelled, or the client was disposed.</exception>
    /// <exception cref="RequestRefusedException">The host cannot serve the request.</exception>
    /// <exception cref="HostGoneException">The host ended.</exception>
    /// <exception cref="LlamaIpcException">Another reason, told by <see cref="LlamaIpcException.Error"/>.</exception>
    public virtual async IAsyncEnumerable<string> StreamAsync(
        LlamaRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ThrowIfCancelled(cancellationToken);
        using LlamaStream stream = OpenStream(request);
        await foreach (string piece in stream.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            yield return piece;
        }
        stream.ThrowIfTruncated();
    }

    /// <summary>
    /// Sends one message of the user and returns the pieces of the answer as they arrive. Leaving the loop stops the
    /// host's work.
    /// </summary>
    /// <inheritdoc cref="StreamAsync(LlamaRequest, CancellationToken)"/>
    /// <param name="text">What the user says.</param>
    /// <param name="cancellationToken">
    /// Stops the host's work; the loop then ends with a <see cref="RequestCanceledException"/>, which holds what had
    /// arrived.
    /// </param>
    public IAsyncEnumerable<string> StreamAsync(string text, CancellationToken cancellationToken = default) =>
        StreamAsync(new LlamaRequest(text), cancellationToken);

    /// <summary>Sends a request and returns the whole answer. Blocks no thread of the pool.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">
    /// Stops the host's work; the task then ends with a <see cref="RequestCanceledException"/>, which holds what had
    /// arrived.
    /// </param>
    /// <inheritdoc cref="StreamAsync(LlamaRequest, CancellationToken)" path="/exception"/>
    /// <returns>The answer.</returns>
    public virtual async Task<string> AskAsync(LlamaRequest request, CancellationToken cancellationToken = default)
    {
        ThrowIfCancelled(cancellationToken);
        using LlamaStream stream = OpenStream(request);
        await foreach (string _ in stream.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            // The stream keeps the text.
        }
        stream.ThrowIfTruncated();
        return stream.Text;
    }

    /// <summary>Sends one message of the user and returns the whole answer. Blocks no thread of the pool.</summary>
    /// <inheritdoc cref="AskAsync(LlamaRequest, CancellationToken)"/>
    /// <param name="text">What the user says.</param>
    /// <param name="cancellationToken">
    /// Stops the host's work; the task then ends with a <see cref="RequestCanceledException"/>, which holds what had
    /// arrived.
    /// </param>
    public Task<string> AskAsync(string text, CancellationToken cancellationToken = default) =>
        AskAsync(new LlamaRequest(text), cancellationToken);

    /// <summary>
    /// Finds a stream by its id. If its owner has let go of it or has died, this client becomes its owner; otherwise it
    /// is only followed: read, but not ended.
    /// </summary>
    /// <param name="id">The <see cref="LlamaStream.Id"/>.</param>
    /// <param name="offset">
    /// Where to begin reading, in bytes of UTF-8: the <see cref="LlamaStream.Offset"/> of an earlier reader. Moved back
    /// to the beginning of its character.
    /// </param>
    /// <param name="readOnly">True: only follow it in any case.</param>
    /// <exception cref="LlamaIpcException">
    /// There is no such stream (<see cref="LipcError.Gone"/>), or it is not an id (<see cref="LipcError.Invalid"/>).
    /// </exception>
    /// <exception cref="HostGoneException">The host has ended.</exception>
    public virtual unsafe LlamaStream Attach(string id, long offset = 0, bool readOnly = false)
    {
        ArgumentNullException.ThrowIfNull(id);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        using NativeText text = new();
        int error = NativeMethods.StreamAttach(
            handle, text.Add(id, nameof(id)), (ulong)offset, readOnly ? 1 : 0, out LipcStreamHandle stream);
        if (error == (int)LipcError.Ok)
        {
            return new LlamaStream(this, stream, offset, canBeDetached: true, limitWasAskedFor: true);
        }
        string message = NativeMethods.LastErrorMessage(error);
        stream.Dispose();
        throw LlamaIpcException.Of((LipcError)error, message);
    }

    /// <summary>
    /// Ends the work on a stream by its id, whoever owns it: its reader gets the text there is, and then that it was
    /// cancelled. For tools with which a user looks after a host; one's own streams are cancelled with a token, or by
    /// disposing them. Never blocks.
    /// </summary>
    /// <param name="id">The <see cref="LlamaStream.Id"/>.</param>
    /// <exception cref="LlamaIpcException">
    /// There is no such stream, or its answer has ended (<see cref="LipcError.Gone"/>), or it is not an id
    /// (<see cref="LipcError.Invalid"/>).
    /// </exception>
    /// <exception cref="HostGoneException">The host has ended.</exception>
    public virtual unsafe void Cancel(string id)
    {
        ArgumentNullException.ThrowIfNull(id);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        using NativeText text = new();
        int error = NativeMethods.ClientCancel(handle, text.Add(id, nameof(id)));
        if (error != (int)LipcError.Ok)
        {
            throw LlamaIpcException.Of((LipcError)error, NativeMethods.LastErrorMessage(error));
        }
    }

    /// <summary>
    /// Has the host change its model, for all of its clients, and waits until it has. What had been asked for before is
    /// answered first, by the old model; what is asked for meanwhile waits for the new one. Blocks no thread of the pool.
    /// </summary>
    /// <remarks>
    /// If the new model cannot be used, or this is cancelled, the host keeps the model that it had; while that is loaded
    /// again its state is <see cref="LlamaHostState.Loading"/>.
    /// </remarks>
    /// <param name="path">
    /// The model's file, in the GGUF format; a relative path is one from this process's current folder. Or its name,
    /// <c>hf://user/model:quant</c> of a model hub or an address that begins with <c>https://</c>: the host fetches what is not in
    /// its cache, shows how far it is (<see cref="LlamaHostStatus.DownloadBytes"/>), and serves what it has meanwhile.
    /// </param>
    /// <param name="progress">
    /// Is told the host's status at once and each time that it changes, with the new model at the end.
    /// </param>
    /// <param name="cancellationToken">Withdraws the request.</param>
    /// <exception cref="RequestRefusedException">
    /// There is no such file, it is no GGUF model, or the host cannot change its model.
    /// </exception>
    /// <exception cref="LlamaIpcException">
    /// The model is damaged, of an unknown kind, or too large (<see cref="LipcError.Failed"/>); or the path is too long
    /// (<see cref="LipcError.Invalid"/>).
    /// </exception>
    /// <exception cref="RequestCanceledException">Cancelled, or the client was disposed.</exception>
    /// <exception cref="HostGoneException">The host ended.</exception>
    public virtual async Task LoadModelAsync(
        string path, IProgress<LlamaHostStatus>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        ThrowIfCancelled(cancellationToken);
        using LlamaStream stream = OpenLoad(path);
        using CancellationTokenSource ended = new();
        Task reporting = progress is null ? Task.CompletedTask : ReportChangesAsync(progress, ended.Token);
        try
        {
            await foreach (string _ in stream.ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                // It has no text.
            }
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await reporting.ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Has the host write what its model remembers of a conversation into a file, so that going on with the conversation later,
    /// also in another host, does not take as long as reading it anew. Blocks no thread of the pool.
    /// </summary>
    /// <remarks>
    /// The file has up to some hundred kilobytes for each token, and holds the conversation. It replaces one that was there only
    /// when it is whole, and nothing but a saved state. The host's other answers pause while it is written.
    /// </remarks>
    /// <param name="conversation">The conversation as it was sent, with the answer behind it.</param>
    /// <param name="path">The file, on the host's machine; a relative path is one from this process's current folder.</param>
    /// <param name="cancellationToken">Withdraws the request, if its turn has not come.</param>
    /// <exception cref="RequestRefusedException">
    /// The host remembers nothing of the conversation, or cannot write the file; the message says which.
    /// </exception>
    /// <exception cref="RequestCanceledException">Cancelled, or the client was disposed.</exception>
    /// <exception cref="HostGoneException">The host ended.</exception>
    public virtual Task<LlamaSavedState> SaveStateAsync(
        LlamaRequest conversation, string path, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(conversation);
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = Path.GetFullPath(path);
        return ReadStateAsync(() => conversation.Open(handle, file), cancellationToken);
    }

    /// <summary>
    /// Has the host read such a file back. A request for that conversation, or its next turn, then evaluates only what is new
    /// (<see cref="LlamaProgress"/>). Blocks no thread of the pool.
    /// </summary>
    /// <param name="path">The file, on the host's machine; a relative path is one from this process's current folder.</param>
    /// <param name="cancellationToken">Withdraws the request, if its turn has not come.</param>
    /// <exception cref="RequestRefusedException">
    /// There is no such file, it is damaged, or it is of another model or another version of the host; the message says which.
    /// Without it the conversation goes on all the same: its next turn is read from the beginning.
    /// </exception>
    /// <exception cref="RequestCanceledException">Cancelled, or the client was disposed.</exception>
    /// <exception cref="HostGoneException">The host ended.</exception>
    public virtual Task<LlamaSavedState> RestoreStateAsync(string path, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = Path.GetFullPath(path);
        return ReadStateAsync(() => LlamaRequest.OpenRestore(handle, file), cancellationToken);
    }

    /// <summary>
    /// Asks the host to end, for all of its clients, and waits until it is gone. Answers being made are finished,
    /// queued requests are not served. Does nothing if it has ended already.
    /// </summary>
    /// <param name="cancellationToken">Ends the waiting; the host ends all the same.</param>
    /// <exception cref="OperationCanceledException">Cancelled, or the client was disposed.</exception>
    public virtual async Task ShutdownAsync(CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        using CancellationTokenSource leaving =
            CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, disposing.Token);
        Task waiting = WaiterThread.RunOnOwn(() => Shutdown(leaving.Token));
        await ThrowAsCallersAsync(waiting, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Leaves the host. Streams that are still open end, except those that are detachable; whoever reads one gets a
    /// <see cref="RequestCanceledException"/>. A host that was started <see cref="HostStart.WithMe"/> ends.
    /// </summary>
    public virtual void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
        {
            return;
        }
        GC.SuppressFinalize(this);
        disposing.Cancel();
        Streams.Stop();
        bool isFake = handle.IsInvalid;
        handle.Dispose();
        if (!isFake)
        {
            handle.WaitClosed(CloseLimit);
        }
    }

    /// <summary>As <see cref="Dispose"/>, without blocking the caller.</summary>
    /// <returns>Ends when the client is closed.</returns>
    public virtual ValueTask DisposeAsync() =>
        IsDisposed ? ValueTask.CompletedTask : new ValueTask(WaiterThread.RunOnOwn(Dispose));

    // ---- Saved states ----

    private async Task<LlamaSavedState> ReadStateAsync(Func<LipcStreamHandle> open, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        ThrowIfCancelled(cancellationToken);
        using LlamaStream stream = new(this, open(), offset: 0, canBeDetached: false, limitWasAskedFor: true);
        await foreach (string _ in stream.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            // The stream keeps the text.
        }
        return LlamaSavedState.Read(stream.Text);
    }

    // ---- Another model ----

    private unsafe LlamaStream OpenLoad(string path)
    {
        using NativeText text = new();
        int error = NativeMethods.ClientLoad(handle, text.Add(path, nameof(path)), out LipcStreamHandle stream);
        if (error == (int)LipcError.Ok)
        {
            return new LlamaStream(this, stream, offset: 0, canBeDetached: false, limitWasAskedFor: true);
        }
        string message = NativeMethods.LastErrorMessage(error);
        stream.Dispose();
        throw LlamaIpcException.Of((LipcError)error, message);
    }

    /// <summary>Reports the host's status whenever it has changed, and a last time when that is no longer wanted.</summary>
    private async Task ReportChangesAsync(IProgress<LlamaHostStatus> progress, CancellationToken cancellationToken)
    {
        LlamaHostStatus? last = null;
        bool isLast;
        do
        {
            isLast = cancellationToken.IsCancellationRequested;
            LlamaHostStatus status;
            try
            {
                status = Status;
            }
            catch (ObjectDisposedException)
            {
                return;
            }
            if (status != last)
            {
                last = status;
                progress.Report(status);
            }
            await Task.WhenAny(Task.Delay(ReportInterval, cancellationToken)).ConfigureAwait(false);
        }
        while (!isLast);
    }

    // ---- Connecting ----

    private static async Task<LlamaClient> OpenAsync(LlamaClientOptions options, CancellationToken cancellationToken)
    {
        Task<LlamaClient> opening = WaiterThread.RunOnOwn(() => new LlamaClient(LipcClientHandle.Open(options), options.WakesPerSecond > 0));
        try
        {
            return await opening.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            _ = DisposeOfAsync(opening);
            throw;
        }
    }

    /// <summary>Closes a client that nobody waits for any more, once it is open.</summary>
    private static async Task DisposeOfAsync(Task<LlamaClient> opening)
    {
        await Task.WhenAny(opening).ConfigureAwait(false);
        if (opening.IsCompletedSuccessfully)
        {
            await opening.Result.DisposeAsync().ConfigureAwait(false);
        }
        else
        {
            _ = opening.Exception; // Observed.
        }
    }

    private static async Task WaitReadyOrDisposeAsync(
        LlamaClient client,
        LlamaClientOptions options,
        IProgress<LlamaHostStatus>? progress,
        CancellationToken cancellationToken)
    {
        try
        {
            await client.WaitReadyAsync(progress, cancellationToken).ConfigureAwait(false);
            await client.SeeToModelAsync(options, progress, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await client.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The model that was asked for is the one that answers, unless the options say otherwise.</summary>
    private async Task SeeToModelAsync(
        LlamaClientOptions options, IProgress<LlamaHostStatus>? progress, CancellationToken cancellationToken)
    {
        if (options.ModelFile is not string path || options.OtherModel == OtherModel.Accept)
        {
            return;
        }
        string running = Status.ModelPath;
        if (running.Length > 0 && LlamaClientOptions.IsModel(running, path))
        {
            return;
        }
        if (options.OtherModel == OtherModel.Load)
        {
            await LoadModelAsync(path, progress, cancellationToken).ConfigureAwait(false);
            return;
        }
        throw new OtherModelException(
            $"The host of '{Instance.EffectiveName(options.InstanceName)}' runs already, with the model "
            + $"{(running.Length > 0 ? $"'{running}'" : "whose path it does not tell")}, and not with '{path}'. "
            + "Choose another InstanceName, or say with OtherModel whether it is to change its model, or to be used with the one "
            + "that it has.");
    }

    // ---- Waiting, on a thread made for it ----

    private void WaitReady(ChannelWriter<LlamaHostStatus> reports, CancellationToken cancellationToken)
    {
        StatusReports state = new(reports);
        GCHandle self = GCHandle.Alloc(state);
        try
        {
            state.Report(Status);
            WaitUninterrupted(NativeWait, cancellationToken);
            state.Report(Status);
        }
        finally
        {
            self.Free();
            reports.TryComplete();
        }

        unsafe int NativeWait() => NativeMethods.ClientWaitReady(
            handle, Timeout.Infinite, StatusReports.OnNativeStatus, (void*)GCHandle.ToIntPtr(self));
    }

    private void Shutdown(CancellationToken cancellationToken)
    {
        try
        {
            WaitUninterrupted(() => NativeMethods.ClientShutdown(handle, Timeout.Infinite), cancellationToken);
        }
        catch (HostNotFoundException)
        {
            // It had ended already.
        }
    }

    /// <summary>
    /// Makes a native call that waits, until it returns for a reason of its own: one that is cancelled interrupts every
    /// call that waits on this client.
    /// </summary>
    private void WaitUninterrupted(Func<int> call, CancellationToken cancellationToken)
    {
        int error;
        do
        {
            cancellationToken.ThrowIfCancellationRequested();
            using NativeOperation operation = handle.BeginOperation();
            using CancellationTokenRegistration onCancel = operation.CancelWith(cancellationToken);
            error = call();
            if (error is not ((int)LipcError.Ok or (int)LipcError.Cancelled))
            {
                throw LlamaIpcException.Of((LipcError)error, NativeMethods.LastErrorMessage(error));
            }
        }
        while (error == (int)LipcError.Cancelled);
    }

    /// <summary>Waits, and turns a cancellation into one with the token that the caller knows.</summary>
    private async Task ThrowAsCallersAsync(Task waiting, CancellationToken cancellationToken)
    {
        try
        {
            await waiting.ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new OperationCanceledException("The client was disposed.", e, disposing.Token);
        }
    }

    private static void ThrowIfCancelled(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            throw new RequestCanceledException(
                "The request was cancelled before it was sent.", "", 0, cancellationToken);
        }
    }

    /// <summary>The way of a host's status from native code to whoever reports it.</summary>
    private sealed class StatusReports(ChannelWriter<LlamaHostStatus> reports)
    {
        private const int GoOn = 0;

        internal static readonly unsafe NativeMethods.OnStatus OnNativeStatus = ReportNativeStatus;

        private LlamaHostStatus? last;

        internal void Report(LlamaHostStatus status)
        {
            // An interrupted wait begins anew and may say again what it has said.
            if (status != last)
            {
                last = status;
                reports.TryWrite(status);
            }
        }

        [MonoPInvokeCallback(typeof(NativeMethods.OnStatus))]
        private static unsafe int ReportNativeStatus(void* userData, LipcHostStatus* status)
        {
            ((StatusReports)GCHandle.FromIntPtr((IntPtr)userData).Target!).Report(new LlamaHostStatus(*status));
            return GoOn;
        }
    }
}
