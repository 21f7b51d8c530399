// The client class of the streaming guide, on top of liblipc.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading.Channels;
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>
/// Talks to a host that holds a language model, in its own process: starts it or attaches to it, sends it questions,
/// and reads the answers as they grow.
/// </summary>
/// <remarks>
/// <para>All members may be used from any thread. Requests of one client are served one after the other.</para>
/// <para>
/// <see cref="OnStreamUpdate"/> is raised on the thread that called <c>SendStreamingRequest</c>. With
/// <c>SendStreamingRequestAsync</c> it is raised in the caller's <see cref="SynchronizationContext"/>, so on the thread of the
/// user interface if that is where the call was made, and without such a context on a thread of the client.
/// </para>
/// <para>
/// Disposing is safe at any time, also while a request runs: the request ends with an
/// <see cref="OperationCanceledException"/>. A host that this client started ends; one it attached to goes on.
/// </para>
/// </remarks>
public sealed class LlamaCppStreamingClient : IDisposable, IAsyncDisposable
{
    /// <summary>How long a host has to end after it was asked to, before it is killed.</summary>
    private const int StopGraceMs = 2000;

    /// <summary>
    /// How long to wait for the end of a host that is known to be ending, for the sake of its exit code.
    /// </summary>
    private const int ExitCodeWaitMs = 1000;

    /// <summary>How often to try when other processes start and end hosts of the same name at the same time.</summary>
    private const int MaxConnectAttempts = 5;

    private const int ExitCodeNameIsOwned = 7;

    /// <summary>What the guide's channel has room for in each prompt, of UTF-8.</summary>
    private const int PromptBytes = 4095;

    /// <summary>The most that leaving a stream, or the last update of one, may hold up its caller.</summary>
    private static readonly TimeSpan SettleLimit = TimeSpan.FromSeconds(2);

    /// <summary>Held while a request, or connecting, is under way.</summary>
    private readonly SemaphoreSlim turn = new(1, 1);

    private readonly CancellationTokenSource disposing = new();
    private readonly WaiterThread waiter = new();

    /// <summary>Reads answers while a handler of <see cref="OnStreamUpdate"/> runs on the thread that waits for them.</summary>
    private readonly WaiterThread reader = new("LlamaIpc reader");

    /// <summary>Guards the fields below, so that nothing is started once disposing has begun.</summary>
    private readonly object stateLock = new();

    private LlamaCppClientOptions? options;
    private string? name;
    private LipcClassicHandle? handle;
    private LipcClientHandle? modern;
    private HostProcess? host;
    private int disposed;

    private volatile NativeOperation? currentRequest;
    private volatile StreamCall? currentStream;
    private volatile bool lastPromptWasCut;
    private volatile bool hostToldToEnd;

    /// <summary>Makes a client that is not connected yet; <see cref="Initialize(string)"/> does that.</summary>
    public LlamaCppStreamingClient()
    {
    }

    /// <summary>
    /// Raised for each new state of a streaming answer; see the remarks of the class for the thread. The answer is read on a
    /// thread of its own: tokens that arrive while a handler runs come together in the next update, and so do those that
    /// <see cref="LlamaCppClientOptions.UpdatesPerSecond"/> holds back. A handler that takes longer than a frame of the screen
    /// (16 ms) is raised again a frame later at the earliest, so a window that it draws in has time for keys and clicks. What a handler throws cancels the request and comes out
    /// of the call that sent it.
    /// </summary>
    public event EventHandler<StreamUpdateEventArgs>? OnStreamUpdate;

    /// <summary>The version of the native library.</summary>
    public static string NativeLibraryVersion => NativeMethods.Version();

    /// <summary>The process id of the host this client is connected to, while it lives; otherwise 0.</summary>
    public int HostProcessId
    {
        get
        {
            LipcClassicHandle? current = handle;
            if (current is null || current.IsClosed || hostToldToEnd || host?.ExitCode is not null)
            {
                return 0;
            }
            try
            {
                return NativeMethods.ClassicHostPid(current);
            }
            catch (ObjectDisposedException)
            {
                return 0;
            }
        }
    }

    /// <summary>
    /// The last 50 lines that the host wrote to its standard error. Empty if this client did not start the host.
    /// </summary>
    public IReadOnlyList<string> HostErrorLines => host?.ErrorLines ?? [];

    /// <summary>
    /// The last 50 lines that the host wrote to its standard output, such as "Stream Mode: Enabled". Empty if this
    /// client did not start the host.
    /// </summary>
    public IReadOnlyList<string> HostOutputLines => host?.OutputLines ?? [];

    /// <summary>
    /// True if a prompt of the last finished request was longer than 4,095 bytes of UTF-8 and was cut there. The host of this
    /// project takes longer ones whole, over its other channel; one that has only the channel of the guide does not.
    /// </summary>
    public bool LastPromptWasCut => lastPromptWasCut;

    /// <summary>
    /// Connects to the host: to a running one, and if there is none, to one that this starts. Returns when it can
    /// serve.
    /// </summary>
    /// <param name="executablePath">The host program, for instance "./build/chatbot".</param>
    /// <exception cref="HostStartException">The host could not be started or ended at once.</exception>
    /// <exception cref="HostTimeoutException">The host is still loading its model after five minutes.</exception>
    public void Initialize(string executablePath)
    {
        ArgumentNullException.ThrowIfNull(executablePath);
        Initialize(new LlamaCppClientOptions { ExecutablePath = executablePath });
    }

    /// <summary>Connects to the host, as the options say. Returns when it can serve.</summary>
    /// <param name="options">How to find or start the host.</param>
    /// <param name="cancellationToken">Ends the waiting; a host that was started for it ends too.</param>
    /// <exception cref="HostStartException">The host could not be started or ended at once.</exception>
    /// <exception cref="HostNotFoundException">There is no host to attach to.</exception>
    /// <exception cref="HostTimeoutException">The host is still loading its model after the time-out.</exception>
    /// <exception cref="OperationCanceledException">Cancelled, or the client was disposed.</exception>
    /// <exception cref="InvalidOperationException">The client is connected already.</exception>
    public void Initialize(LlamaCppClientOptions options, CancellationToken cancellationToken = default)
    {
        Check(options, cancellationToken);
        Deadline deadline = Deadline.In(options.ConnectTimeout);
        TakeTurn(deadline, cancellationToken);
        try
        {
            Connect(options, deadline, cancellationToken);
        }
        finally
        {
            turn.Release();
        }
    }

    /// <inheritdoc cref="Initialize(string)"/>
    /// <param name="executablePath">The host program, for instance "./build/chatbot".</param>
    /// <param name="cancellationToken">Ends the waiting; a host that was started for it ends too.</param>
    public Task InitializeAsync(string executablePath, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(executablePath);
        return InitializeAsync(new LlamaCppClientOptions { ExecutablePath = executablePath }, cancellationToken);
    }

    /// <inheritdoc cref="Initialize(LlamaCppClientOptions, CancellationToken)"/>
    public async Task InitializeAsync(LlamaCppClientOptions options, CancellationToken cancellationToken = default)
    {
        Check(options, cancellationToken);
        Deadline deadline = Deadline.In(options.ConnectTimeout);
        await RunInTurnAsync(
            () =>
            {
                Connect(options, deadline, cancellationToken);
                return true;
            },
            deadline,
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends a question and waits for the whole answer.</summary>
    /// <param name="userPrompt">
    /// The question; an empty one gets an empty answer. See <see cref="LastPromptWasCut"/> for long ones.
    /// </param>
    /// <param name="systemPrompt">Instructions for the model; empty: none.</param>
    /// <returns>The answer.</returns>
    /// <exception cref="HostGoneException">The host ended or was killed.</exception>
    /// <exception cref="HostTimeoutException">The request took longer than the options allow.</exception>
    /// <exception cref="OperationCanceledException">The client was disposed meanwhile.</exception>
    /// <exception cref="InvalidOperationException">The client has never been connected.</exception>
    public string SendRequest(string userPrompt, string systemPrompt = "") =>
        Send(userPrompt, systemPrompt, onUpdate: null, CancellationToken.None);

    /// <inheritdoc cref="SendRequest(string, string)"/>
    /// <param name="userPrompt">
    /// The question; an empty one gets an empty answer. See <see cref="LastPromptWasCut"/> for long ones.
    /// </param>
    /// <param name="systemPrompt">Instructions for the model; empty: none.</param>
    /// <param name="cancellationToken">
    /// Stops the host's work; the call then throws a <see cref="RequestCanceledException"/>, which holds what had
    /// arrived.
    /// </param>
    public string SendRequest(string userPrompt, string systemPrompt, CancellationToken cancellationToken) =>
        Send(userPrompt, systemPrompt, onUpdate: null, cancellationToken);

    /// <summary>
    /// Sends a question and waits for the whole answer, raising <see cref="OnStreamUpdate"/> on this thread while it
    /// grows.
    /// </summary>
    /// <param name="userPrompt">
    /// The question; an empty one gets an empty answer. See <see cref="LastPromptWasCut"/> for long ones.
    /// </param>
    /// <param name="systemPrompt">Instructions for the model; empty: none.</param>
    /// <returns>The answer.</returns>
    /// <exception cref="HostGoneException">The host ended or was killed.</exception>
    /// <exception cref="HostTimeoutException">The request took longer than the options allow.</exception>
    /// <exception cref="OperationCanceledException">The client was disposed meanwhile.</exception>
    /// <exception cref="InvalidOperationException">The client has never been connected.</exception>
    public string SendStreamingRequest(string userPrompt, string systemPrompt = "") =>
        Send(userPrompt, systemPrompt, RaiseUpdate, CancellationToken.None);

    /// <inheritdoc cref="SendStreamingRequest(string, string)"/>
    /// <param name="userPrompt">
    /// The question; an empty one gets an empty answer. See <see cref="LastPromptWasCut"/> for long ones.
    /// </param>
    /// <param name="systemPrompt">Instructions for the model; empty: none.</param>
    /// <param name="cancellationToken">
    /// Stops the host's work; the call then throws a <see cref="RequestCanceledException"/>, which holds what had
    /// arrived.
    /// </param>
    public string SendStreamingRequest(string userPrompt, string systemPrompt, CancellationToken cancellationToken) =>
        Send(userPrompt, systemPrompt, RaiseUpdate, cancellationToken);

    /// <summary>Sends a question and returns the whole answer. Blocks no thread of the pool.</summary>
    /// <param name="userPrompt">
    /// The question; an empty one gets an empty answer. See <see cref="LastPromptWasCut"/> for long ones.
    /// </param>
    /// <param name="systemPrompt">Instructions for the model; empty: none.</param>
    /// <param name="cancellationToken">
    /// Stops the host's work; the task then ends with a <see cref="RequestCanceledException"/>, which holds what had
    /// arrived.
    /// </param>
    /// <returns>The answer.</returns>
    /// <exception cref="HostGoneException">The host ended or was killed.</exception>
    /// <exception cref="HostTimeoutException">The request took longer than the options allow.</exception>
    /// <exception cref="OperationCanceledException">Cancelled, or the client was disposed meanwhile.</exception>
    /// <exception cref="InvalidOperationException">The client has never been connected.</exception>
    public Task<string> SendRequestAsync(
        string userPrompt, string systemPrompt = "", CancellationToken cancellationToken = default) =>
        SendAsync(userPrompt, systemPrompt, onUpdate: null, cancellationToken);

    /// <summary>
    /// Sends a question and returns the whole answer, raising <see cref="OnStreamUpdate"/> while it grows, in the
    /// caller's
    /// <see cref="SynchronizationContext"/> if there is one. Blocks no thread of the pool.
    /// </summary>
    /// <inheritdoc cref="SendRequestAsync"/>
    public async Task<string> SendStreamingRequestAsync(
        string userPrompt, string systemPrompt = "", CancellationToken cancellationToken = default)
    {
        if (SynchronizationContext.Current is not SynchronizationContext context)
        {
            return await SendAsync(userPrompt, systemPrompt, RaiseUpdate, cancellationToken).ConfigureAwait(false);
        }

        UpdatePump pump = new(context, RaiseUpdate);
        string answer;
        try
        {
            answer = await SendAsync(userPrompt, systemPrompt, pump.Offer, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await pump.DrainAsync(SettleLimit, disposing.Token).ConfigureAwait(false);
            throw;
        }
        await pump.DrainAsync(SettleLimit, disposing.Token).ConfigureAwait(false);
        return answer;
    }

    /// <summary>
    /// Sends a question and returns the pieces of the answer as they arrive; joined, they are the whole answer. Leaving
    /// the loop stops the host's work. <see cref="OnStreamUpdate"/> is not raised. Blocks no thread of the pool.
    /// </summary>
    /// <inheritdoc cref="SendRequestAsync"/>
    /// <returns>The pieces, each of whole characters.</returns>
    public async IAsyncEnumerable<string> StreamAsync(
        string userPrompt,
        string systemPrompt = "",
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        // An answer has at most 32 KiB, so the channel needs no bound of its own, and a slow reader never holds up the
        // host.
        Channel<string> pieces = Channel.CreateUnbounded<string>(
            new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        using CancellationTokenSource leaving = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);

        Task<string> answer = SendAsync(
            userPrompt, systemPrompt, update => pieces.Writer.TryWrite(update.NewText), leaving.Token);
        _ = answer.ContinueWith(
            static (ended, writer) =>
            {
                _ = ended.Exception; // Observed, also if nobody waits for the answer any more.
                ((ChannelWriter<string>)writer!).TryComplete();
            },
            pieces.Writer,
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);

        try
        {
            FramePace pace = default;
            while (await pieces.Reader.WaitToReadAsync(CancellationToken.None).ConfigureAwait(false))
            {
                string piece = TakeAll(pieces.Reader);
                if (piece.Length == 0)
                {
                    continue;
                }
                pace.Deliver();
                yield return piece;
                if (FramePace.IsInWindow && !pieces.Reader.Completion.IsCompleted)
                {
                    await Task.Delay(pace.RestMs(), CancellationToken.None).ConfigureAwait(false);
                }
            }
            await ThrowIfFailedAsync(answer, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await leaving.CancelAsync().ConfigureAwait(false);
            await Task.WhenAny(answer).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Asks the host to end, also in the middle of an answer and also if this client only attached to it, and waits
    /// until it is gone. <see cref="Initialize(string)"/> can connect again.
    /// </summary>
    /// <param name="timeout">How long to wait; <see cref="Timeout.InfiniteTimeSpan"/> waits without limit.</param>
    /// <exception cref="HostTimeoutException">It is still there after the time-out.</exception>
    public void Shutdown(TimeSpan timeout)
    {
        Deadline.CheckTimeout(timeout, nameof(timeout));
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        Deadline deadline = Deadline.In(timeout);

        // A host that is told to end completes the answer at hand with what there is. That must not pass for a whole
        // answer.
        hostToldToEnd = true;
        currentRequest?.Cancel();

        // A handle of its own, since the client's may be in a request.
        using LipcClassicHandle own = LipcClassicHandle.Open(name ?? throw NotInitialized());
        int error = NativeMethods.ClassicShutdown(own, deadline.RemainingMs);
        if (error is not ((int)LipcError.Ok or (int)LipcError.NoHost))
        {
            throw Failure(error, NativeMethods.LastErrorMessage(error), "", 0, CancellationToken.None);
        }
        host?.WaitForExit(deadline.RemainingMs);
    }

    /// <summary>As <see cref="Shutdown"/>, without blocking a thread of the pool.</summary>
    /// <param name="timeout">How long to wait; <see cref="Timeout.InfiniteTimeSpan"/> waits without limit.</param>
    /// <exception cref="HostTimeoutException">It is still there after the time-out.</exception>
    public Task ShutdownAsync(TimeSpan timeout) => WaiterThread.RunOnOwn(() => Shutdown(timeout));

    /// <summary>
    /// Closes the client. A request that is under way ends with an <see cref="OperationCanceledException"/>. A host
    /// that this client started is gone when this returns; it is killed if it does not end by itself within two
    /// seconds.
    /// </summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
        {
            return;
        }
        GC.SuppressFinalize(this);
        disposing.Cancel();
        lock (stateLock)
        {
            host?.Stop(name!, StopGraceMs);
            modern?.Dispose();
            handle?.Dispose();
        }
        waiter.Stop();
        reader.Stop();
    }

    /// <summary>As <see cref="Dispose"/>, without blocking the caller.</summary>
    /// <returns>Ends when the client is closed.</returns>
    public ValueTask DisposeAsync() =>
        IsDisposed ? ValueTask.CompletedTask : new ValueTask(WaiterThread.RunOnOwn(Dispose));

    /// <summary>Lets a forgotten client's thread and host end.</summary>
    ~LlamaCppStreamingClient()
    {
        waiter.Stop();
        reader.Stop();
        host?.Terminate();
    }

    private bool IsDisposed => Volatile.Read(ref disposed) != 0;

    // ---- Taking turns ----

    private void Check(LlamaCppClientOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (cancellationToken.IsCancellationRequested)
        {
            throw Cancelled("", 0, cancellationToken);
        }
    }

    private void TakeTurn(Deadline deadline, CancellationToken cancellationToken)
    {
        if (currentStream?.IsInHandler == true)
        {
            throw new InvalidOperationException(
                "A handler of OnStreamUpdate cannot send a request of its own: the one it is called from is still running.");
        }
        using CancellationTokenSource either =
            CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, disposing.Token);
        try
        {
            ThrowIfNoTurn(turn.Wait(deadline.RemainingMs, either.Token));
        }
        catch (OperationCanceledException)
        {
            throw Cancelled("", 0, cancellationToken);
        }
    }

    private async Task TakeTurnAsync(Deadline deadline, CancellationToken cancellationToken)
    {
        using CancellationTokenSource either =
            CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, disposing.Token);
        try
        {
            ThrowIfNoTurn(await turn.WaitAsync(deadline.RemainingMs, either.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            throw Cancelled("", 0, cancellationToken);
        }
    }

    /// <summary>Waits for the turn and runs a call on the waiter thread.</summary>
    private async Task<T> RunInTurnAsync<T>(Func<T> call, Deadline deadline, CancellationToken cancellationToken)
    {
        await TakeTurnAsync(deadline, cancellationToken).ConfigureAwait(false);
        Task<T> work;
        try
        {
            work = waiter.Run(() =>
            {
                try
                {
                    return call();
                }
                finally
                {
                    turn.Release();
                }
            });
        }
        catch (ObjectDisposedException) when (IsDisposed)
        {
            turn.Release();
            throw Cancelled("", 0, cancellationToken); // Its turn came when the client's thread had been told to end.
        }

        TaskCompletionSource ending = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenRegistration onDispose = disposing.Token.UnsafeRegister(Complete, ending);
        using CancellationTokenRegistration onCancel = cancellationToken.UnsafeRegister(Complete, ending);
        if (await Task.WhenAny(work, ending.Task).ConfigureAwait(false) != work)
        {
            // A cancelled call ends within one step of the model. A host that hangs takes no steps: its caller goes on
            // without it, and the turn ends with the call.
            await Task.WhenAny(work, Task.Delay(SettleLimit, CancellationToken.None)).ConfigureAwait(false);
            if (!work.IsCompleted)
            {
                _ = work.ContinueWith(
                    static ended => _ = ended.Exception, TaskContinuationOptions.ExecuteSynchronously);
                throw Cancelled("", 0, cancellationToken);
            }
        }
        return await work.ConfigureAwait(false);

        static void Complete(object? source) => ((TaskCompletionSource)source!).TrySetResult();
    }

    private static void ThrowIfNoTurn(bool taken)
    {
        if (!taken)
        {
            throw new HostTimeoutException(
                "The time-out passed while an earlier request of this client was still running.");
        }
    }

    // ---- Connecting ----

    private void Connect(LlamaCppClientOptions wanted, Deadline deadline, CancellationToken cancellationToken)
    {
        if (HostProcessId != 0)
        {
            throw new InvalidOperationException(
                $"The client is connected already, to the host with pid {HostProcessId}.");
        }
        OpenHandle(wanted);

        for (int attempt = 1; ; attempt++)
        {
            if (wanted.AttachToRunningHost != HostAttachMode.Start && TryAttach(wanted, deadline, cancellationToken))
            {
                return;
            }
            bool mayTryAgain =
                wanted.AttachToRunningHost == HostAttachMode.AttachOrStart && attempt < MaxConnectAttempts;
            if (TryStart(wanted, mayTryAgain, deadline, cancellationToken))
            {
                return;
            }
        }
    }

    /// <summary>Makes a fresh handle, and parts with a host of an earlier connection.</summary>
    private void OpenHandle(LlamaCppClientOptions wanted)
    {
        string wantedName = Instance.EffectiveName(wanted.InstanceName);
        LipcClassicHandle opened = LipcClassicHandle.Open(wantedName);
        _ = NativeMethods.ClassicLimitUpdates(opened, wanted.UpdatesPerSecond); // Checked before, and nobody else has it yet.
        lock (stateLock)
        {
            if (IsDisposed)
            {
                opened.Dispose();
                throw Cancelled("", 0, CancellationToken.None);
            }
            host?.Stop(name!, StopGraceMs);
            host = null;
            modern?.Dispose();
            modern = null;
            handle?.Dispose();
            handle = opened;
            name = wantedName;
            options = wanted;
            hostToldToEnd = false;
        }
    }

    /// <summary>Connects to a running host. False: there is none, and the options allow to start one.</summary>
    private bool TryAttach(LlamaCppClientOptions wanted, Deadline deadline, CancellationToken cancellationToken)
    {
        int error = NativeConnect(0, cancellationToken, CancellationToken.None, out string message);
        if (error == (int)LipcError.Timeout)
        {
            error = NativeConnect(deadline.RemainingMs, cancellationToken, CancellationToken.None, out message);
        }
        if (error == (int)LipcError.Ok)
        {
            return true;
        }
        bool isGone = error is (int)LipcError.NoHost or (int)LipcError.HostGone;
        if (isGone && !IsDisposed && wanted.AttachToRunningHost == HostAttachMode.AttachOrStart)
        {
            return false;
        }
        throw error == (int)LipcError.NoHost && !IsDisposed
            ? new HostNotFoundException(message)
            : Failure(error, message, "", 0, cancellationToken);
    }

    /// <summary>
    /// Starts a host and connects to it. False: another process was faster with a host of this name, and we may try
    /// again.
    /// </summary>
    private bool TryStart(
        LlamaCppClientOptions wanted, bool mayTryAgain, Deadline deadline, CancellationToken cancellationToken)
    {
        HostProcess started = StartHost(wanted);
        bool connected = false;
        try
        {
            int error = NativeConnect(deadline.RemainingMs, cancellationToken, started.Exited, out string message);
            if (error == (int)LipcError.Ok && HostProcessId == started.Id)
            {
                started.OwnsName = true;
                connected = true;
                return true;
            }

            // If the name answers but not with our process, another host may own it, and ours be ending because of
            // that.
            bool mayBeEnding = error is (int)LipcError.Ok or (int)LipcError.HostGone;
            bool hasEnded = started.WaitForExit(mayBeEnding && !IsDisposed ? ExitCodeWaitMs : 0);
            if (hasEnded && !WasCancelled(cancellationToken))
            {
                if (mayTryAgain && started.ExitCode == ExitCodeNameIsOwned)
                {
                    return false;
                }
                throw EndedBeforeItServed(wanted, started);
            }
            if (error != (int)LipcError.Ok)
            {
                throw Failure(error, message, "", 0, cancellationToken);
            }

            // The program that was started runs on and is a parent of the host rather than the host itself.
            connected = true;
            return true;
        }
        finally
        {
            if (!connected)
            {
                ForgetHost(started);
            }
        }
    }

    private HostProcess StartHost(LlamaCppClientOptions wanted)
    {
        lock (stateLock)
        {
            if (IsDisposed)
            {
                throw Cancelled("", 0, CancellationToken.None);
            }
            return host = HostProcess.Start(wanted, name!);
        }
    }

    private void ForgetHost(HostProcess started)
    {
        started.Stop(name!, StopGraceMs);
        lock (stateLock)
        {
            host = null;
        }
    }

    private int NativeConnect(
        int timeoutMs, CancellationToken cancellationToken, CancellationToken hostExited, out string message)
    {
        LipcClassicHandle current = handle!;
        using NativeOperation operation = BeginOperation(current);
        using CancellationTokenRegistration onDispose = operation.CancelWith(disposing.Token);
        using CancellationTokenRegistration onCancel = operation.CancelWith(cancellationToken);
        using CancellationTokenRegistration onExit = operation.CancelWith(hostExited);

        int error = NativeMethods.ClassicConnect(current, timeoutMs);
        message = error == (int)LipcError.Ok ? "" : NativeMethods.LastErrorMessage(error);
        return error;
    }

    private static HostStartException EndedBeforeItServed(LlamaCppClientOptions wanted, HostProcess started)
    {
        string message = $"The host '{wanted.ExecutablePath}' ended before it could serve";
        FailureContext context = new(started.ErrorLines, started.ExitCode);
        return started.ExitCode == HostExitCode.ModelMissing
            ? new ModelNotFoundException(LipcError.HostGone, message, context)
            : new HostStartException(LipcError.HostGone, message, context);
    }

    // ---- Requests ----

    private string Send(
        string userPrompt,
        string systemPrompt,
        Action<StreamUpdateEventArgs>? onUpdate,
        CancellationToken cancellationToken)
    {
        Deadline deadline = CheckRequest(userPrompt, systemPrompt, cancellationToken);
        TakeTurn(deadline, cancellationToken);
        try
        {
            return RunRequest(userPrompt, systemPrompt, onUpdate, deadline, cancellationToken);
        }
        finally
        {
            turn.Release();
        }
    }

    private async Task<string> SendAsync(
        string userPrompt,
        string systemPrompt,
        Action<StreamUpdateEventArgs>? onUpdate,
        CancellationToken cancellationToken)
    {
        Deadline deadline = CheckRequest(userPrompt, systemPrompt, cancellationToken);
        return await RunInTurnAsync(
            () => RunRequest(userPrompt, systemPrompt, onUpdate, deadline, cancellationToken),
            deadline,
            cancellationToken).ConfigureAwait(false);
    }

    private Deadline CheckRequest(string userPrompt, string systemPrompt, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(userPrompt);
        ArgumentNullException.ThrowIfNull(systemPrompt);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (cancellationToken.IsCancellationRequested)
        {
            throw Cancelled("", 0, cancellationToken);
        }
        LlamaCppClientOptions current = options ?? throw NotInitialized();
        return Deadline.In(current.RequestTimeout);
    }

    /// <summary>All pieces that are there, as one.</summary>
    private static string TakeAll(ChannelReader<string> pieces)
    {
        pieces.TryRead(out string? all);
        while (pieces.TryRead(out string? piece))
        {
            all += piece;
        }
        return all ?? "";
    }

    /// <summary>Sends a request and waits for its end on this thread, whose turn it is.</summary>
    private string RunRequest(
        string userPrompt,
        string systemPrompt,
        Action<StreamUpdateEventArgs>? onUpdate,
        Deadline deadline,
        CancellationToken cancellationToken)
    {
        byte[] user = ZeroTerminated(userPrompt, nameof(userPrompt));
        byte[] system = ZeroTerminated(systemPrompt, nameof(systemPrompt));
        bool isLong = Math.Max(user.Length, system.Length) > PromptBytes + 1;
        if (isLong && userPrompt.Length > 0 && OpenModern() is LipcClientHandle other)
        {
            return RunLongRequest(other, RequestOf(user, system), onUpdate, deadline, cancellationToken);
        }
        LipcClassicHandle current = handle!;
        using NativeOperation operation = BeginOperation(current);
        StreamCall? stream = onUpdate is null ? null : new StreamCall(onUpdate, operation);
        return Run(operation, stream, IsHandler(onUpdate), () => CallHost(current, system, user, deadline, stream), cancellationToken);
    }

    /// <summary>
    /// Whether updates go to a handler of the event. It may wait for something, unlike what this class itself does with an
    /// update. Meanwhile the answer is read, or the host would take its client for dead and let the next one write over it.
    /// </summary>
    private bool IsHandler(Action<StreamUpdateEventArgs>? onUpdate) => onUpdate == (Action<StreamUpdateEventArgs>)RaiseUpdate;

    /// <summary>Waits for the end of a call, over either channel, and says what its request has come to.</summary>
    private string Run(
        NativeOperation operation,
        StreamCall? stream,
        bool isHandler,
        Func<HostAnswer> call,
        CancellationToken cancellationToken)
    {
        using CancellationTokenRegistration onDispose = operation.CancelWith(disposing.Token);
        using CancellationTokenRegistration onCancel = operation.CancelWith(cancellationToken);
        currentRequest = operation;
        currentStream = stream;
        HostAnswer answer;
        try
        {
            answer = stream is not null && isHandler ? stream.ReportWhile(reader, call) : call();
        }
        catch (ObjectDisposedException) when (IsDisposed)
        {
            throw Cancelled("", 0, cancellationToken); // The reading thread had been told to end, and nothing was sent.
        }
        finally
        {
            currentRequest = null;
            currentStream = null;
        }
        lastPromptWasCut = answer.PromptWasCut;

        stream?.ThrowHandlerFailure();
        // The host may have completed what is cancelled before the handler has seen that.
        bool isCancelled = answer.Error == (int)LipcError.Ok && isHandler && operation.CancelRequested;
        int error = isCancelled ? (int)LipcError.Cancelled : answer.Error;
        return Result(operation, error, answer.Message, answer.Text, answer.Tokens, cancellationToken);
    }

    /// <summary>One request over the guide's channel, on this thread.</summary>
    private static unsafe HostAnswer CallHost(
        LipcClassicHandle handle, byte[] system, byte[] user, Deadline deadline, StreamCall? stream)
    {
        LipcClassicResult result = default;
        int error;
        fixed (byte* userText = user, systemText = system)
        {
            error = stream is null
                ? NativeMethods.ClassicRequest(handle, systemText, userText, deadline.RemainingMs, &result)
                : stream.Run(handle, systemText, userText, deadline.RemainingMs, &result);
        }
        return new HostAnswer(
            error,
            error == (int)LipcError.Ok ? "" : NativeMethods.LastErrorMessage(error),
            result.Text == null ? "" : Encoding.UTF8.GetString(result.Text, checked((int)result.NBytes)),
            result.NTokens,
            result.PromptCut != 0);
    }

    /// <summary>As <see cref="RunRequest"/>, over the modern channel, which has room for long prompts.</summary>
    private string RunLongRequest(
        LipcClientHandle client,
        LlamaRequest request,
        Action<StreamUpdateEventArgs>? onUpdate,
        Deadline deadline,
        CancellationToken cancellationToken)
    {
        using NativeOperation operation = BeginOperation(client);
        StreamCall stream = new(onUpdate ?? (static _ => { }), operation);
        return Run(operation, stream, IsHandler(onUpdate), Ask, cancellationToken);

        HostAnswer Ask()
        {
            using LipcStreamHandle answer = request.Open(client);
            int error = stream.Run(answer, deadline, out string message);
            return new HostAnswer(error, message, stream.Text, stream.Tokens, PromptWasCut: false);
        }
    }

    /// <summary>A place in the modern channel of the same host; null: it has none, or it is full.</summary>
    private LipcClientHandle? OpenModern()
    {
        lock (stateLock)
        {
            if (IsDisposed)
            {
                throw Cancelled("", 0, CancellationToken.None);
            }
            try
            {
                return modern ??= LipcClientHandle.Open(
                    new LlamaClientOptions
                    {
                        InstanceName = name,
                        Start = HostStart.Never,
                        AttachTimeout = TimeSpan.Zero,
                        WakesPerSecond = options?.UpdatesPerSecond ?? 0,
                    });
            }
            catch (LlamaIpcException)
            {
                return null;
            }
        }
    }

    private static LlamaRequest RequestOf(byte[] user, byte[] system)
    {
        LlamaMessage question = LlamaMessage.User(Text(user));
        return system.Length > 1 ? new(LlamaMessage.System(Text(system)), question) : new(question);

        static string Text(byte[] zeroTerminated) => Encoding.UTF8.GetString(zeroTerminated, 0, zeroTerminated.Length - 1);
    }

    private string Result(
        NativeOperation operation, int error, string message, string text, int tokens, CancellationToken cancellationToken)
    {
        // A host that was told to end may also be gone before it has acknowledged that this answer is cancelled.
        bool isEndedByShutdown = hostToldToEnd && operation.CancelRequested && error == (int)LipcError.HostGone;
        if ((error == (int)LipcError.Ok && (IsDisposed || hostToldToEnd)) || isEndedByShutdown)
        {
            error = (int)LipcError.Cancelled;
        }
        return error == (int)LipcError.Ok
            ? text
            : throw Failure(error, message, text, tokens, cancellationToken);
    }

    private void RaiseUpdate(StreamUpdateEventArgs update)
    {
        if (!IsDisposed)
        {
            OnStreamUpdate?.Invoke(this, update);
        }
    }

    private static byte[] ZeroTerminated(string text, string parameter)
    {
        if (text.Contains('\0'))
        {
            throw new ArgumentException("A prompt cannot contain the character U+0000.", parameter);
        }
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }

    private NativeOperation BeginOperation(SafeHandle current)
    {
        try
        {
            return current is LipcClientHandle client
                ? client.BeginOperation()
                : new NativeOperation(current, static handle => NativeMethods.ClassicCancel((LipcClassicHandle)handle));
        }
        catch (ObjectDisposedException)
        {
            throw Cancelled("", 0, CancellationToken.None);
        }
    }

    private static async Task ThrowIfFailedAsync(Task<string> answer, CancellationToken cancellationToken)
    {
        try
        {
            await answer.ConfigureAwait(false);
        }
        catch (RequestCanceledException e) when (cancellationToken.IsCancellationRequested)
        {
            // With the token that the caller knows, not with the linked one.
            throw new RequestCanceledException(e.Message, e.PartialResponse, e.TokensGenerated, cancellationToken);
        }
    }

    // ---- Failures ----

    private bool WasCancelled(CancellationToken cancellationToken) =>
        IsDisposed || cancellationToken.IsCancellationRequested;

    private Exception Failure(
        int error, string message, string partialResponse, int tokensGenerated, CancellationToken cancellationToken)
    {
        // Whoever cancelled, or disposed of, a host that ends meanwhile gets what they expect: a cancellation.
        bool endedByCancelling = error is (int)LipcError.Cancelled or (int)LipcError.HostGone or (int)LipcError.NoHost;
        if (IsDisposed || (endedByCancelling && cancellationToken.IsCancellationRequested))
        {
            return Cancelled(partialResponse, tokensGenerated, cancellationToken);
        }

        HostProcess? started = host;
        if (error == (int)LipcError.HostGone)
        {
            started?.WaitForExit(ExitCodeWaitMs);
        }
        FailureContext context = new(
            started?.ErrorLines ?? [], started?.ExitCode, partialResponse, tokensGenerated);
        return (LipcError)error switch
        {
            LipcError.HostGone or LipcError.NoHost => new HostGoneException(message, context),
            LipcError.Timeout => new HostTimeoutException(message, context),
            LipcError.Cancelled => Cancelled(partialResponse, tokensGenerated, cancellationToken),
            _ => LlamaIpcException.Of((LipcError)error, message, context),
        };
    }

    private RequestCanceledException Cancelled(
        string partialResponse, int tokensGenerated, CancellationToken cancellationToken) =>
        new(
            IsDisposed ? "The client was disposed."
            : hostToldToEnd ? "The host was told to end."
            : "The request was cancelled.",
            partialResponse,
            tokensGenerated,
            IsDisposed ? disposing.Token : cancellationToken);

    private static InvalidOperationException NotInitialized() =>
        new("The client is not connected to a host. Call Initialize first.");

    /// <summary>What came of a call.</summary>
    private readonly record struct HostAnswer(int Error, string Message, string Text, int Tokens, bool PromptWasCut);
}
