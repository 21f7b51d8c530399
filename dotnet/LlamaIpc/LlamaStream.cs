// One request and its answer.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text;
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>
/// A request and its answer, which grows in shared memory whether or not it is read: reading late costs nothing and
/// loses nothing.
/// </summary>
/// <remarks>
/// <para>
/// Read it with <c>await foreach</c>, on a thread of your own with <see cref="ReadAll"/>, or with <see cref="TryRead"/>
/// whenever it suits, for instance once for each frame. One reader at a time; all other members may be used from any thread.
/// </para>
/// <para>
/// The text of an answer that was cancelled or failed is never mistaken for a whole one: its end is an exception, which
/// holds what had arrived. Disposing ends the host's work; so does forgetting the stream.
/// </para>
/// <para>All members are virtual and there is a constructor for derived classes, so that a test can use a fake.</para>
/// </remarks>
public class LlamaStream : IAsyncEnumerable<string>, IDisposable
{
    /// <summary>With the zero byte.</summary>
    internal const int IdSize = 33;

    private readonly LlamaClient client;
    private readonly LipcStreamHandle handle;
    private readonly StreamAwaiter awaiter;
    private readonly bool canBeDetached;
    private readonly bool limitWasAskedFor;

    /// <summary>Held while reading: what a native read gives lives until the next one.</summary>
    private readonly object gate = new();

    private AnswerText text;
    private long offset;
    private string? id;
    private int readers;
    private NativeOperation? blocking; // of ReadAll, while that runs
    private volatile LlamaProgress progress = new(default);
    private volatile LlamaResult? result;
    private volatile string? closedBecause;
    private volatile Turn turn = Turn.Open;

    internal LlamaStream(
        LlamaClient client, LipcStreamHandle handle, long offset, bool canBeDetached, bool limitWasAskedFor)
    {
        this.client = client;
        this.handle = handle;
        this.offset = offset;
        this.canBeDetached = canBeDetached;
        this.limitWasAskedFor = limitWasAskedFor;
        awaiter = new StreamAwaiter(handle);
    }

    /// <summary>Makes a stream without a host: for a fake, which overrides what is called.</summary>
    protected LlamaStream()
    {
        client = null!;
        handle = new LipcStreamHandle();
        awaiter = new StreamAwaiter(handle);
    }

    /// <summary>
    /// The stream's unguessable id, 32 hexadecimal digits, for <see cref="LlamaClient.Attach"/>.
    /// </summary>
    public virtual unsafe string Id
    {
        get
        {
            if (id is null)
            {
                ObjectDisposedException.ThrowIf(closedBecause != null, this);
                byte* digits = stackalloc byte[IdSize];
                int error = NativeMethods.StreamId(handle, digits);
                id = error == (int)LipcError.Ok
                    ? NativeMethods.Text(digits)
                    : throw LlamaIpcException.Of((LipcError)error, NativeMethods.LastErrorMessage(error));
            }
            return id;
        }
    }

    /// <summary>How far the answer is. Costs no system call. After the end, and once closed: as it was then.</summary>
    public virtual unsafe LlamaProgress Progress
    {
        get
        {
            LipcProgress native;
            try
            {
                int error = NativeMethods.StreamProgress(handle, &native, (nuint)sizeof(LipcProgress));
                if (error is (int)LipcError.Ok or (int)LipcError.HostGone)
                {
                    progress = new LlamaProgress(native);
                }
            }
            catch (ObjectDisposedException)
            {
                // What was seen last stands.
            }
            return progress;
        }
    }

    /// <summary>
    /// How the answer ended; null until its end has been read, be that the end of a whole answer or an exception.
    /// </summary>
    public virtual LlamaResult? Result => result;

    /// <summary>The text that has been read so far.</summary>
    public virtual string Text
    {
        get
        {
            lock (gate)
            {
                return text.Substring(0);
            }
        }
    }

    /// <summary>
    /// Where in the answer, in bytes of UTF-8, the next read begins: with it and <see cref="Id"/>, the reading can go
    /// on later, in another process too.
    /// </summary>
    public virtual long Offset
    {
        get
        {
            lock (gate)
            {
                return offset;
            }
        }
    }

    /// <summary>
    /// Takes what is new, without waiting and without a system call on either side: for programs that look once for
    /// each frame. False: there is nothing new, for now or, if <see cref="Result"/> is there, for good.
    /// </summary>
    /// <remarks>
    /// On the thread of a window (where there is a <see cref="SynchronizationContext"/>) it gives one piece for each turn
    /// of the thread's message loop: <c>while (TryRead(...))</c> ends even if drawing is slower than the model.
    /// </remarks>
    /// <param name="piece">The new text, whole characters.</param>
    /// <exception cref="RequestCanceledException">It was cancelled. What had arrived has been read before.</exception>
    /// <exception cref="RequestRefusedException">The host cannot serve the request.</exception>
    /// <exception cref="HostGoneException">The host ended. What had arrived has been read before.</exception>
    /// <exception cref="LlamaIpcException">The model failed, or the stream that was followed is gone.</exception>
    /// <exception cref="InvalidOperationException">A loop over <see cref="ReadAll"/> is reading the stream.</exception>
    public virtual bool TryRead([NotNullWhen(true)] out string? piece)
    {
        ObjectDisposedException.ThrowIf(closedBecause != null, this);
        lock (gate)
        {
            if (blocking != null)
            {
                throw new InvalidOperationException("A loop is reading this stream on a thread of its own.");
            }
            piece = IsInNextTurn() ? ReadNew(CancellationToken.None) : null;
        }
        if (piece != null)
        {
            BeginTurn();
        }
        return piece != null;
    }

    /// <summary>
    /// The pieces of the answer as they arrive, whole characters each; joined, they are the whole answer. Blocks no
    /// thread of the pool. Leaving the loop stops the host's work.
    /// </summary>
    /// <param name="cancellationToken">
    /// Stops the host's work; the loop then ends with a <see cref="RequestCanceledException"/>, which holds what had
    /// arrived.
    /// </param>
    /// <exception cref="RequestCanceledException">It was cancelled, or the stream or its client was closed.</exception>
    /// <exception cref="RequestRefusedException">The host cannot serve the request.</exception>
    /// <exception cref="HostGoneException">The host ended.</exception>
    /// <exception cref="LlamaIpcException">The model failed, or the stream that was followed is gone.</exception>
    /// <exception cref="InvalidOperationException">Another loop is reading.</exception>
    public virtual IAsyncEnumerable<string> ReadAllAsync(CancellationToken cancellationToken = default) =>
        ReadEachAsync(ReadNew, cancellationToken);

    /// <summary>
    /// The same with thoughts and calls of tools, each piece with what it belongs to, in their order.
    /// <see cref="Text"/> and <see cref="Offset"/> are about the answer's text alone.
    /// </summary>
    /// <param name="cancellationToken">As with <see cref="ReadAllAsync"/>, which has the exceptions, too.</param>
    public virtual IAsyncEnumerable<LlamaPart> ReadPartsAsync(CancellationToken cancellationToken = default) =>
        ReadEachAsync(ReadNewPart, cancellationToken);

    /// <summary>
    /// The same for a thread of your own, which blocks until there is something to read. Not for the thread of a window, and
    /// not for one of the pool.
    /// </summary>
    /// <param name="cancellationToken">As with <see cref="ReadAllAsync"/>, which has the exceptions, too.</param>
    public virtual IEnumerable<string> ReadAll(CancellationToken cancellationToken = default)
    {
        BeginLoop();
        bool isComplete = false;
        try
        {
            NativeOperation waiting = client.Operations();
            lock (gate)
            {
                blocking = waiting;
            }
            using CancellationTokenRegistration onDispose = waiting.CancelWith(client.Disposing);
            using CancellationTokenRegistration onCancel = cancellationToken.UnsafeRegister(
                static stream => ((LlamaStream)stream!).StopReading(), this);
            while (!isComplete)
            {
                ThrowIfCancelled(cancellationToken);
                if (WaitAndRead(waiting, cancellationToken) is string piece)
                {
                    yield return piece;
                }
                isComplete = result != null;
            }
        }
        finally
        {
            Volatile.Write(ref blocking, null);
            EndLoop(isComplete);
        }
    }

    private async IAsyncEnumerable<T> ReadEachAsync<T>(
        Func<CancellationToken, T?> readNew, [EnumeratorCancellation] CancellationToken cancellationToken)
        where T : class
    {
        BeginLoop();
        bool isComplete = false;
        FramePace pace = default;
        try
        {
            using CancellationTokenRegistration onCancel = cancellationToken.UnsafeRegister(
                static stream => ((LlamaStream)stream!).StopReading(), this);
            while (!isComplete)
            {
                ThrowIfCancelled(cancellationToken);
                if (readNew(cancellationToken) is T piece)
                {
                    pace.Deliver();
                    yield return piece;

                    // Here on the thread of whoever has dealt with the piece.
                    if (FramePace.IsInWindow && !HasBeenReadToTheEnd())
                    {
                        await PauseAsync(pace.RestMs(), cancellationToken).ConfigureAwait(false);
                    }
                    if (client.IsPaced)
                    {
                        await WaitForNewsAsync(cancellationToken).ConfigureAwait(false);
                    }
                }
                else if (result != null)
                {
                    isComplete = true;
                }
                else
                {
                    await WaitForNewsAsync(cancellationToken).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            EndLoop(isComplete);
        }
    }

    /// <inheritdoc/>
    public IAsyncEnumerator<string> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        ReadAllAsync(cancellationToken).GetAsyncEnumerator(cancellationToken);

    /// <summary>
    /// The tokens of the answer so far, from one of them on. Costs no system call.
    /// </summary>
    /// <param name="first">How many tokens to leave out.</param>
    /// <exception cref="HostGoneException">The host ended.</exception>
    public virtual unsafe IReadOnlyList<LlamaToken> GetTokens(int first = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ObjectDisposedException.ThrowIf(closedBecause != null, this);
        const int Portion = 128;
        LipcToken* portion = stackalloc LipcToken[Portion];
        List<LlamaToken> tokens = [];
        nuint copied;
        do
        {
            int error = NativeMethods.StreamTokens(handle, (nuint)(first + tokens.Count), portion, (nuint)sizeof(LipcToken), Portion, &copied);
            if (error != (int)LipcError.Ok)
            {
                throw LlamaIpcException.Of((LipcError)error, NativeMethods.LastErrorMessage(error));
            }
            foreach (LipcToken token in new ReadOnlySpan<LipcToken>(portion, (int)copied))
            {
                tokens.Add(new LlamaToken(
                    token.Id,
                    float.IsNaN(token.Logprob) ? null : token.Logprob,
                    (long)token.End,
                    LlamaProgress.Span(token.TimeNs)));
            }
        }
        while (copied == Portion);
        return tokens;
    }

    /// <summary>
    /// The likeliest tokens at a token of the answer, likeliest first: as many as <see cref="LlamaRequest.NProbs"/> asked for.
    /// Empty if none were asked for, if the token is not there yet, and from older hosts. Costs no system call.
    /// </summary>
    /// <param name="token">The token's place among <see cref="GetTokens"/>, from 0.</param>
    /// <exception cref="HostGoneException">The host ended, and they have not come.</exception>
    /// <exception cref="ModelFailedException">Another program has written over them.</exception>
    public virtual unsafe IReadOnlyList<LlamaProbability> GetProbabilities(int token)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(token);
        ObjectDisposedException.ThrowIf(closedBecause != null, this);
        LipcProb* found = stackalloc LipcProb[LipcProb.Most];
        nuint copied;
        int error = NativeMethods.StreamProbs(handle, (nuint)token, found, (nuint)sizeof(LipcProb), LipcProb.Most, &copied);
        if (error != (int)LipcError.Ok)
        {
            throw LlamaIpcException.Of((LipcError)error, NativeMethods.LastErrorMessage(error));
        }
        LlamaProbability[] probabilities = new LlamaProbability[(int)copied];
        for (int i = 0; i < probabilities.Length; i++)
        {
            string text = Encoding.UTF8.GetString(found[i].Text, (int)Math.Min(found[i].NBytes, 23));
            probabilities[i] = new LlamaProbability(found[i].Id, text, found[i].Logprob);
        }
        return probabilities;
    }

    /// <summary>
    /// Ends the host's work; reads then give the text there is and a <see cref="RequestCanceledException"/>. Does
    /// nothing to an answer that has ended or is only followed. Never blocks.
    /// </summary>
    public virtual void Cancel()
    {
        try
        {
            NativeMethods.StreamCancel(handle);
        }
        catch (ObjectDisposedException)
        {
            // Closed: its work has ended, or is not ours any more.
        }
    }

    /// <summary>
    /// Lets go of the stream without ending its work, and closes it on this side. A loop that is reading ends with a
    /// <see cref="RequestCanceledException"/>.
    /// </summary>
    /// <returns>The <see cref="Id"/>, with which <see cref="LlamaClient.Attach"/> finds it again.</returns>
    /// <exception cref="InvalidOperationException">
    /// The request was not <see cref="LlamaRequest.Detachable"/>.
    /// </exception>
    public virtual string Detach()
    {
        if (!canBeDetached)
        {
            throw new InvalidOperationException("The request was not detachable: set LlamaRequest.Detachable.");
        }
        string kept = Id;
        closedBecause ??= "The stream was detached; its work goes on.";
        EndWaits();
        awaiter.Dispose();
        handle.LetGo();
        return kept;
    }

    /// <summary>
    /// Closes the stream and ends the host's work on it. A loop that is reading ends with a
    /// <see cref="RequestCanceledException"/>. Never blocks.
    /// </summary>
    public virtual void Dispose()
    {
        GC.SuppressFinalize(this);
        closedBecause ??= "The stream was disposed.";
        EndWaits();
        awaiter.Dispose();
        handle.Dispose();
    }

    /// <summary>Throws if the answer had no room, for callers that are given nothing but its text.</summary>
    internal void ThrowIfTruncated()
    {
        if (Result is { IsTruncated: true } truncated)
        {
            throw new AnswerTruncatedException(truncated);
        }
    }

    // ---- Reading ----

    private ValueTask WaitForNewsAsync(CancellationToken cancellationToken) =>
        WaitAsync(client.Streams.WaitAsync(awaiter), cancellationToken);

    private ValueTask PauseAsync(int milliseconds, CancellationToken cancellationToken) =>
        WaitAsync(client.Streams.PauseAsync(awaiter, milliseconds), cancellationToken);

    private ValueTask WaitAsync(ValueTask wait, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested || closedBecause != null)
        {
            // It came before the wait began, and so has not ended it.
            client.Streams.Release(awaiter);
        }
        return wait;
    }

    /// <summary>Whether nothing is left but the end itself, which need not wait for a frame.</summary>
    private unsafe bool HasBeenReadToTheEnd()
    {
        LipcProgress now;
        try
        {
            return NativeMethods.StreamProgress(handle, &now, (nuint)sizeof(LipcProgress)) == (int)LipcError.Ok
                && now.State == (int)LlamaStreamState.Ended && (long)now.NBytes <= Offset;
        }
        catch (ObjectDisposedException)
        {
            return true;
        }
    }

    private void StopReading()
    {
        Cancel();
        EndWaits();
    }

    /// <summary>Has whoever waits look again, and, in a loop that blocks, end.</summary>
    private void EndWaits()
    {
        Interlocked.MemoryBarrier(); // what is to be seen was stored before; a loop stores `blocking`, and then looks at it
        Volatile.Read(ref blocking)?.Cancel();
        client?.Streams.Release(awaiter);
    }

    private void BeginLoop()
    {
        ObjectDisposedException.ThrowIf(closedBecause != null, this);
        if (Interlocked.Exchange(ref readers, 1) != 0)
        {
            throw new InvalidOperationException("Another loop is reading this stream.");
        }
    }

    private void EndLoop(bool isComplete)
    {
        Volatile.Write(ref readers, 0);
        if (!isComplete && closedBecause == null) // a detached answer goes on, and disposing ends it anyway
        {
            Cancel();
        }
    }

    /// <summary>
    /// As <see cref="ReadNew"/>, and waits on this thread until there is something. The native read is done without the lock, which
    /// others need meanwhile for what has been read: <see cref="TryRead"/> keeps away from it.
    /// </summary>
    private unsafe string? WaitAndRead(NativeOperation waiting, CancellationToken cancellationToken)
    {
        bool isHeld = false; // until the text is taken: whoever disposes of the stream meanwhile must not free it
        try
        {
            if (closedBecause != null || !waiting.TryBeginNext())
            {
                throw Cancelled(cancellationToken);
            }
            handle.DangerousAddRef(ref isHeld);
            LipcDelta delta;
            int error = NativeMethods.StreamRead(handle, Timeout.Infinite, &delta);
            if (error == (int)LipcError.Ok && delta.NBytes > 0)
            {
                lock (gate)
                {
                    return Append(delta);
                }
            }
        }
        catch (ObjectDisposedException)
        {
            throw Cancelled(cancellationToken);
        }
        finally
        {
            waiting.Dispose();
            if (isHeld)
            {
                handle.DangerousRelease();
            }
        }
        // The end, which a second read says again; or an interrupt, for this call or for another one.
        return waiting.CancelRequested ? throw Cancelled(cancellationToken) : ReadNew(cancellationToken);
    }

    /// <summary>
    /// New text; null if there is none: then <see cref="result"/> tells whether there will be more. Throws what the
    /// answer ended with, if that is not its own end.
    /// </summary>
    private unsafe string? ReadNew(CancellationToken cancellationToken)
    {
        lock (gate)
        {
            LipcDelta delta;
            int error;
            using HeldHandle held = Hold(cancellationToken);
            error = NativeMethods.StreamRead(handle, 0, &delta);
            if (error == (int)LipcError.Timeout)
            {
                return null;
            }
            if (error == (int)LipcError.Ok && delta.NBytes > 0)
            {
                return Append(delta);
            }
            string message = error == (int)LipcError.Ok ? "" : NativeMethods.LastErrorMessage(error);
            result ??= new LlamaResult(text.Substring(0), Progress, limitWasAskedFor);
            return error == (int)LipcError.Ok ? null : throw Failure((LipcError)error, message, cancellationToken);
        }
    }

    /// <summary>The native stream is not closed before that is disposed: what was read lives as long.</summary>
    private HeldHandle Hold(CancellationToken cancellationToken)
    {
        try
        {
            return new HeldHandle(handle);
        }
        catch (ObjectDisposedException)
        {
            throw Cancelled(cancellationToken);
        }
    }

    private readonly ref struct HeldHandle
    {
        private readonly LipcStreamHandle handle;

        internal HeldHandle(LipcStreamHandle handle)
        {
            bool isHeld = false;
            this.handle = handle;
            handle.DangerousAddRef(ref isHeld);
        }

        public void Dispose() => handle.DangerousRelease();
    }

    private unsafe string Append(in LipcDelta delta)
    {
        int before = text.Length;
        text = text.Append(new ReadOnlySpan<byte>(delta.Text, checked((int)delta.NBytes)));
        offset = (long)(delta.Offset + delta.NBytes);
        return text.Substring(before);
    }

    /// <summary>As <see cref="ReadNew"/>, with thoughts and calls.</summary>
    private unsafe LlamaPart? ReadNewPart(CancellationToken cancellationToken)
    {
        lock (gate)
        {
            LipcPartDelta delta;
            int error;
            using HeldHandle held = Hold(cancellationToken);
            error = NativeMethods.StreamReadPart(handle, 0, &delta);
            if (error == (int)LipcError.Timeout)
            {
                return null;
            }
            if (error == (int)LipcError.Ok && (delta.NBytes > 0 || delta.Begins != 0))
            {
                return PartOf(delta);
            }
            string message = error == (int)LipcError.Ok ? "" : NativeMethods.LastErrorMessage(error);
            result ??= new LlamaResult(text.Substring(0), Progress, limitWasAskedFor);
            return error == (int)LipcError.Ok ? null : throw Failure((LipcError)error, message, cancellationToken);
        }
    }

    private unsafe LlamaPart PartOf(in LipcPartDelta delta)
    {
        LlamaPartKind kind = (LlamaPartKind)delta.Kind;
        string added = kind == LlamaPartKind.Text
            ? Append(new LipcDelta { Text = delta.Text, NBytes = delta.NBytes, Offset = delta.Offset })
            : Encoding.UTF8.GetString(delta.Text, checked((int)delta.NBytes));
        return new LlamaPart(kind, added, delta.Part, delta.Begins != 0)
        {
            CallIndex = delta.Call,
            CallId = NativeMethods.Text(delta.CallId),
            ToolName = NativeMethods.Text(delta.Name),
            Position = (long)(kind == LlamaPartKind.Text ? delta.Offset : delta.Position),
        };
    }

    private void ThrowIfCancelled(CancellationToken cancellationToken)
    {
        if (!cancellationToken.IsCancellationRequested)
        {
            return;
        }
        // What has arrived comes along, but its reader does not wait until the host has stopped.
        while (ReadNew(cancellationToken) != null)
        {
        }
        throw Cancelled(cancellationToken);
    }

    /// <summary>Whether the window's thread has been back in its message loop since the last piece.</summary>
    private bool IsInNextTurn()
    {
        if (turn == Turn.Open)
        {
            return true;
        }
        // Once: whoever looks again without going back is not to be kept waiting for what cannot come.
        turn = Turn.Open;
        return false;
    }

    /// <summary>A piece is handed out. On a window's thread the next one is for the next turn of its message loop.</summary>
    private void BeginTurn()
    {
        if (!FramePace.IsInWindow)
        {
            return;
        }
        turn = Turn.UsedUp;
        SynchronizationContext.Current!.Post(static stream => ((LlamaStream)stream!).turn = Turn.Open, this);
    }

    // ---- Failures ----

    private Exception Failure(LipcError error, string message, CancellationToken cancellationToken) =>
        error == LipcError.Cancelled || client.IsDisposed || cancellationToken.IsCancellationRequested
            ? Cancelled(cancellationToken)
            : LlamaIpcException.Of(error, message, new FailureContext([], null, Text, progress.Tokens));

    private RequestCanceledException Cancelled(CancellationToken cancellationToken) => new(
        closedBecause ?? (client.IsDisposed ? "The client was disposed." : "The request was cancelled."),
        Text,
        Progress.Tokens,
        cancellationToken.IsCancellationRequested ? cancellationToken : CancellationToken.None);

    /// <summary>The turns of a window's message loop, as <see cref="TryRead"/> counts them.</summary>
    private enum Turn
    {
        /// <summary>There may be a piece.</summary>
        Open,

        /// <summary>It has had its piece.</summary>
        UsedUp,
    }
}
