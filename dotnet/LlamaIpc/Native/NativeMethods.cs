// The functions of include/lipc/lipc.h, one declaration each, in the header's order. A test checks that none is
// missing but those that only shorten programs in C: lipc_stream_ask, lipc_stream_run, and lipc_document_*, in whose place
// RequestDocument writes JSON.
using System.Runtime.InteropServices;

namespace LlamaIpc.Native;

/// <remarks>
/// Declared in the way that every runtime has, also those that netstandard2.0 is for. Nothing needs marshalling but
/// handles and functions.
/// </remarks>
internal static unsafe class NativeMethods
{
    /// <summary>
    /// The name under which the library is imported; <see cref="NativeLibraryResolver"/> finds the file.
    /// </summary>
    internal const string Library = "lipc";

    static NativeMethods() => NativeLibraryResolver.Register();

    /// <summary>Is told the host's status while it loads. Whoever passes one keeps it alive until the call returns.</summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate int OnStatus(void* userData, LipcHostStatus* status);

    /// <summary>Is told how far a download is.</summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate int OnFetch(void* userData, LipcFetchProgress* progress);

    /// <summary>Is told each new state of an answer.</summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate int OnUpdate(void* userData, LipcClassicResult* update);

    [DllImport(Library, EntryPoint = "lipc_version", CallingConvention = CallingConvention.Cdecl)]
    private static extern byte* VersionText();

    [DllImport(Library, EntryPoint = "lipc_error_name", CallingConvention = CallingConvention.Cdecl)]
    private static extern byte* ErrorNameText(int error);

    [DllImport(Library, EntryPoint = "lipc_error_text", CallingConvention = CallingConvention.Cdecl)]
    private static extern byte* ErrorTextText(int error);

    [DllImport(Library, EntryPoint = "lipc_error_message", CallingConvention = CallingConvention.Cdecl)]
    private static extern byte* ErrorMessageText();

    [DllImport(Library, EntryPoint = "lipc_client_options_init_sized", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void ClientOptionsInit(LipcClientOptions* options, nuint size);

    [DllImport(Library, EntryPoint = "lipc_client_open", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientOpen(LipcClientOptions* options, out LipcClientHandle client);

    [DllImport(Library, EntryPoint = "lipc_client_status_sized", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientStatus(LipcClientHandle client, LipcHostStatus* status, nuint statusSize);

    [DllImport(Library, EntryPoint = "lipc_client_wait_ready", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientWaitReady(
        LipcClientHandle client,
        int timeoutMs,
        OnStatus onStatus,
        void* userData);

    [DllImport(Library, EntryPoint = "lipc_client_interrupt", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void ClientInterrupt(LipcClientHandle client);

    [DllImport(Library, EntryPoint = "lipc_client_shutdown", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientShutdown(LipcClientHandle client, int timeoutMs);

    [DllImport(Library, EntryPoint = "lipc_client_close", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void ClientClose(IntPtr client);

    [DllImport(Library, EntryPoint = "lipc_request_init_sized", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void RequestInit(LipcRequest* request, nuint size);

    [DllImport(Library, EntryPoint = "lipc_stream_open", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamOpen(LipcClientHandle client, LipcRequest* request, out LipcStreamHandle stream);

    [DllImport(Library, EntryPoint = "lipc_client_cancel", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientCancel(LipcClientHandle client, byte* id);

    [DllImport(Library, EntryPoint = "lipc_client_load", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientLoad(LipcClientHandle client, byte* path, out LipcStreamHandle stream);

    [DllImport(Library, EntryPoint = "lipc_stream_read", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamRead(LipcStreamHandle stream, int timeoutMs, LipcDelta* delta);

    [DllImport(Library, EntryPoint = "lipc_stream_read_part", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamReadPart(LipcStreamHandle stream, int timeoutMs, LipcPartDelta* delta);

    [DllImport(Library, EntryPoint = "lipc_stream_wait_any", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamWaitAny(IntPtr* streams, nuint nStreams, int timeoutMs, nuint* index);

    [DllImport(Library, EntryPoint = "lipc_stream_await", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamAwait(LipcStreamHandle stream, int wanted);

    [DllImport(Library, EntryPoint = "lipc_client_wait_any", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClientWaitAny(LipcClientHandle client, int timeoutMs, IntPtr* stream);

    [DllImport(Library, EntryPoint = "lipc_end_text", CallingConvention = CallingConvention.Cdecl)]
    private static extern byte* EndTextText(int end);

    [DllImport(Library, EntryPoint = "lipc_stream_progress_sized", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamProgress(LipcStreamHandle stream, LipcProgress* progress, nuint progressSize);

    [DllImport(Library, EntryPoint = "lipc_stream_tokens_sized", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamTokens(
        LipcStreamHandle stream, nuint first, LipcToken* tokens, nuint tokenSize, nuint nTokens, nuint* nCopied);

    [DllImport(Library, EntryPoint = "lipc_stream_probs_sized", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamProbs(
        LipcStreamHandle stream, nuint token, LipcProb* probs, nuint probSize, nuint nProbs, nuint* nCopied);

    [DllImport(Library, EntryPoint = "lipc_stream_cancel", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void StreamCancel(LipcStreamHandle stream);

    [DllImport(Library, EntryPoint = "lipc_stream_id", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamId(LipcStreamHandle stream, byte* text);

    [DllImport(Library, EntryPoint = "lipc_stream_detach", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void StreamDetach(IntPtr stream);

    [DllImport(Library, EntryPoint = "lipc_stream_attach", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int StreamAttach(
        LipcClientHandle client, byte* id, ulong offset, int readOnly, out LipcStreamHandle stream);

    [DllImport(Library, EntryPoint = "lipc_stream_close", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void StreamClose(IntPtr stream);

    [DllImport(Library, EntryPoint = "lipc_fetch_options_init_sized", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void FetchOptionsInit(LipcFetchOptions* options, nuint size);

    [DllImport(Library, EntryPoint = "lipc_model_fetch", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ModelFetch(
        byte* name, LipcFetchOptions* options, OnFetch onProgress, void* userData, byte* path, nuint pathSize);

    [DllImport(Library, EntryPoint = "lipc_classic_open", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClassicOpen(byte* name, out LipcClassicHandle handle);

    [DllImport(Library, EntryPoint = "lipc_classic_connect", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClassicConnect(LipcClassicHandle handle, int timeoutMs);

    [DllImport(Library, EntryPoint = "lipc_classic_request", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClassicRequest(
        LipcClassicHandle handle, byte* systemPrompt, byte* userPrompt, int timeoutMs, LipcClassicResult* result);

    [DllImport(Library, EntryPoint = "lipc_classic_stream", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClassicStream(
        LipcClassicHandle handle,
        byte* systemPrompt,
        byte* userPrompt,
        int timeoutMs,
        OnUpdate onUpdate,
        void* userData,
        LipcClassicResult* result);

    [DllImport(Library, EntryPoint = "lipc_classic_limit_updates", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClassicLimitUpdates(LipcClassicHandle handle, int updatesPerSecond);

    [DllImport(Library, EntryPoint = "lipc_classic_cancel", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void ClassicCancel(LipcClassicHandle handle);

    [DllImport(Library, EntryPoint = "lipc_classic_shutdown", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClassicShutdown(LipcClassicHandle handle, int timeoutMs);

    [DllImport(Library, EntryPoint = "lipc_classic_host_pid", CallingConvention = CallingConvention.Cdecl)]
    internal static extern int ClassicHostPid(LipcClassicHandle handle);

    [DllImport(Library, EntryPoint = "lipc_classic_close", CallingConvention = CallingConvention.Cdecl)]
    internal static extern void ClassicClose(IntPtr handle);

    internal static string Version() => Text(VersionText());

    internal static string ErrorName(int error) => Text(ErrorNameText(error));

    internal static string ErrorText(int error) => Text(ErrorTextText(error));

    internal static string EndText(int end) => Text(EndTextText(end));

    /// <summary>
    /// What the last failed call of this thread found. The library keeps it per thread until that thread's next call,
    /// so it has to be read right after the call that failed.
    /// </summary>
    internal static string LastErrorMessage(int error)
    {
        string message = Text(ErrorMessageText());
        return message.Length > 0 ? message : ErrorText(error);
    }

    internal static string Text(byte* text) => Marshal.PtrToStringUTF8((IntPtr)text) ?? "";
}
