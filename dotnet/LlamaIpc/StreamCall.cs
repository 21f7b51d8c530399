// The way of an update from native code to a C# handler.
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>
/// The C# end of one lipc_classic_stream, or of the reading of a stream of the modern channel: turns native updates into
/// arguments of an event. An exception of the handler never crosses native frames; it cancels the request and is kept for
/// the caller.
/// </summary>
internal sealed unsafe class StreamCall(Action<StreamUpdateEventArgs> onUpdate, NativeOperation operation)
{
    private const int GoOn = 0;
    private const int CancelRequest = 1;

    private static readonly NativeMethods.OnUpdate OnNativeUpdate = ReportNativeUpdate;

    private readonly UpdateRelay relay = new();
    private bool isRelayed;
    private AnswerText answer;
    private int nTokens;
    private ExceptionDispatchInfo? failure;

    /// <summary>The thread that is inside a handler now; 0: none.</summary>
    private int handlerThread;

    /// <summary>What has arrived.</summary>
    internal string Text => answer.Substring(0);

    /// <summary>How many tokens that are.</summary>
    internal int Tokens => nTokens;

    internal bool IsInHandler => Volatile.Read(ref handlerThread) == Environment.CurrentManagedThreadId;

    /// <summary>Sends the request and reports its updates until it ends. Returns the native error code.</summary>
    internal int Run(LipcClassicHandle handle, byte* system, byte* user, int timeoutMs, LipcClassicResult* result)
    {
        GCHandle self = GCHandle.Alloc(this);
        try
        {
            return NativeMethods.ClassicStream(
                handle, system, user, timeoutMs, OnNativeUpdate, (void*)GCHandle.ToIntPtr(self), result);
        }
        finally
        {
            self.Free();
        }
    }

    /// <summary>Reads an answer of the modern channel and reports it until it ends. Returns the native error code.</summary>
    internal int Run(LipcStreamHandle stream, Deadline deadline, out string message)
    {
        int error;
        LipcDelta delta = default;
        LipcProgress progress;
        do
        {
            error = operation.CancelRequested
                ? (int)LipcError.Cancelled
                : NativeMethods.StreamRead(stream, deadline.RemainingMs, &delta);
            message = error == (int)LipcError.Ok ? "" : NativeMethods.LastErrorMessage(error);
            if (error == (int)LipcError.Ok)
            {
                NativeMethods.StreamProgress(stream, &progress, (nuint)sizeof(LipcProgress));
                nTokens = progress.NTokens;
                Report(new ReadOnlySpan<byte>(delta.Text, checked((int)delta.NBytes)), delta.NBytes == 0, promptWasCut: false);
            }
        }
        while (error == (int)LipcError.Ok && delta.NBytes > 0);
        return error;
    }

    /// <summary>
    /// Runs a call that reads on another thread, and reports its updates on this one. A request that is cancelled has no
    /// more of them. The call is over when this returns, whatever ends it: until then the operation and its handle are needed.
    /// </summary>
    internal T ReportWhile<T>(WaiterThread reader, Func<T> call)
    {
        isRelayed = true;
        Task<T> reading = reader.Run(() =>
        {
            try
            {
                return call();
            }
            finally
            {
                relay.End();
            }
        });
        try
        {
            relay.RaiseAll(RaiseSafely);
        }
        catch
        {
            Uninterrupted(operation.Cancel); // This thread was interrupted or aborted while it waited for updates.
            throw;
        }
        finally
        {
            Uninterrupted(() => Task.WaitAny(reading));
        }
        return reading.GetAwaiter().GetResult();
    }

    /// <summary>Does something that may wait to its end, and leaves an interruption to the thread's next wait.</summary>
    private static void Uninterrupted(Action action)
    {
        bool isInterrupted = false;
        for (bool isDone = false; !isDone;)
        {
            try
            {
                action();
                isDone = true;
            }
            catch (ThreadInterruptedException)
            {
                isInterrupted = true;
            }
        }
        if (isInterrupted)
        {
            Thread.CurrentThread.Interrupt();
        }
    }

    private void RaiseSafely(StreamUpdateEventArgs update)
    {
        try
        {
            if (!operation.CancelRequested)
            {
                Raise(update);
            }
        }
        catch (Exception e)
        {
            failure = ExceptionDispatchInfo.Capture(e);
            operation.Cancel();
        }
    }

    /// <summary>Throws what the handler threw, if it did.</summary>
    internal void ThrowHandlerFailure() => failure?.Throw();

    [MonoPInvokeCallback(typeof(NativeMethods.OnUpdate))]
    private static int ReportNativeUpdate(void* userData, LipcClassicResult* update)
    {
        StreamCall call = (StreamCall)GCHandle.FromIntPtr((IntPtr)userData).Target!;
        try
        {
            return call.OnUpdate(update);
        }
        catch (Exception e)
        {
            call.failure = ExceptionDispatchInfo.Capture(e);
            return CancelRequest;
        }
    }

    private int OnUpdate(LipcClassicResult* update)
    {
        if (failure != null)
        {
            return CancelRequest;
        }

        nTokens = update->NTokens;
        Report(
            new ReadOnlySpan<byte>(update->Text + update->NNewFrom, checked((int)(update->NBytes - update->NNewFrom))),
            update->Complete != 0,
            update->PromptCut != 0);
        return operation.CancelRequested ? CancelRequest : GoOn;
    }

    private void Report(ReadOnlySpan<byte> added, bool isComplete, bool promptWasCut)
    {
        int from = answer.Length;
        answer = answer.Append(added);
        StreamUpdateEventArgs arguments = new(answer, from, nTokens, isComplete, promptWasCut);
        if (isRelayed)
        {
            relay.Offer(arguments);
        }
        else
        {
            Raise(arguments);
        }
    }

    private void Raise(StreamUpdateEventArgs update)
    {
        Volatile.Write(ref handlerThread, Environment.CurrentManagedThreadId);
        try
        {
            onUpdate(update);
        }
        finally
        {
            Volatile.Write(ref handlerThread, 0);
        }
    }
}
