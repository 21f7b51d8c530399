// The way of an update from native code to a C# handler.
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>
/// The C# end of one lipc_classic_stream: turns native updates into arguments of an event. An exception of the handler
/// never crosses the native frames; it cancels the request and is kept for the caller.
/// </summary>
internal sealed unsafe class StreamCall(Action<StreamUpdateEventArgs> onUpdate, NativeOperation operation)
{
    private const int GoOn = 0;
    private const int CancelRequest = 1;

    private AnswerText answer;
    private ExceptionDispatchInfo? failure;

    /// <summary>The thread that is inside a handler now; 0: none.</summary>
    private int handlerThread;

    internal bool IsInHandler => Volatile.Read(ref handlerThread) == Environment.CurrentManagedThreadId;

    /// <summary>Sends the request and reports its updates until it ends. Returns the native error code.</summary>
    internal int Run(LipcClassicHandle handle, byte* system, byte* user, int timeoutMs, LipcClassicResult* result)
    {
        GCHandle self = GCHandle.Alloc(this);
        try
        {
            return NativeMethods.ClassicStream(
                handle, system, user, timeoutMs, &OnNativeUpdate, (void*)GCHandle.ToIntPtr(self), result);
        }
        finally
        {
            self.Free();
        }
    }

    /// <summary>Throws what the handler threw, if it did.</summary>
    internal void ThrowHandlerFailure() => failure?.Throw();

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnNativeUpdate(void* userData, LipcClassicResult* update)
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

        int from = answer.Length;
        answer = answer.Append(
            new ReadOnlySpan<byte>(update->Text + update->NNewFrom, checked((int)(update->NBytes - update->NNewFrom))));
        StreamUpdateEventArgs arguments = new(
            answer, from, update->NTokens, update->Complete != 0, update->PromptCut != 0);

        Volatile.Write(ref handlerThread, Environment.CurrentManagedThreadId);
        try
        {
            onUpdate(arguments);
        }
        finally
        {
            Volatile.Write(ref handlerThread, 0);
        }
        return operation.CancelRequested ? CancelRequest : GoOn;
    }
}
