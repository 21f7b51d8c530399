// The functions of include/lipc/lipc.h, one declaration each, in the header's order. A test checks that none is
// missing but those that only shorten programs in C: lipc_stream_ask, lipc_stream_run, and lipc_document_*, in whose place
// RequestDocument writes JSON.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: DisableRuntimeMarshalling]

namespace LlamaIpc.Native;

internal static unsafe partial class NativeMethods
{
    /// <summary>
    /// The name under which the library is imported; <see cref="NativeLibraryResolver"/> finds the file.
    /// </summary>
    internal const string Library = "lipc";

    static NativeMethods() => NativeLibraryResolver.Register();

    [LibraryImport(Library, EntryPoint = "lipc_version")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    private static partial byte* VersionText();

    [LibraryImport(Library, EntryPoint = "lipc_error_name")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    private static partial byte* ErrorNameText(int error);

    [LibraryImport(Library, EntryPoint = "lipc_error_text")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    private static partial byte* ErrorTextText(int error);

    [LibraryImport(Library, EntryPoint = "lipc_error_message")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    private static partial byte* ErrorMessageText();

    [LibraryImport(Library, EntryPoint = "lipc_client_options_init")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ClientOptionsInit(LipcClientOptions* options);

    [LibraryImport(Library, EntryPoint = "lipc_client_open")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClientOpen(LipcClientOptions* options, out LipcClientHandle client);

    [LibraryImport(Library, EntryPoint = "lipc_client_status_sized")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClientStatus(LipcClientHandle client, LipcHostStatus* status, nuint statusSize);

    [LibraryImport(Library, EntryPoint = "lipc_client_wait_ready")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClientWaitReady(
        LipcClientHandle client,
        int timeoutMs,
        delegate* unmanaged[Cdecl]<void*, LipcHostStatus*, int> onStatus,
        void* userData);

    [LibraryImport(Library, EntryPoint = "lipc_client_interrupt")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ClientInterrupt(LipcClientHandle client);

    [LibraryImport(Library, EntryPoint = "lipc_client_shutdown")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClientShutdown(LipcClientHandle client, int timeoutMs);

    [LibraryImport(Library, EntryPoint = "lipc_client_close")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ClientClose(IntPtr client);

    [LibraryImport(Library, EntryPoint = "lipc_request_init")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void RequestInit(LipcRequest* request);

    [LibraryImport(Library, EntryPoint = "lipc_stream_open")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int StreamOpen(LipcClientHandle client, LipcRequest* request, out LipcStreamHandle stream);

    [LibraryImport(Library, EntryPoint = "lipc_client_cancel")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClientCancel(LipcClientHandle client, byte* id);

    [LibraryImport(Library, EntryPoint = "lipc_client_load")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClientLoad(LipcClientHandle client, byte* path, out LipcStreamHandle stream);

    [LibraryImport(Library, EntryPoint = "lipc_stream_read")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int StreamRead(LipcStreamHandle stream, int timeoutMs, LipcDelta* delta);

    [LibraryImport(Library, EntryPoint = "lipc_stream_read_part")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int StreamReadPart(LipcStreamHandle stream, int timeoutMs, LipcPartDelta* delta);

    [LibraryImport(Library, EntryPoint = "lipc_stream_wait_any")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int StreamWaitAny(IntPtr* streams, nuint nStreams, int timeoutMs, nuint* index);

    [LibraryImport(Library, EntryPoint = "lipc_stream_await")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int StreamAwait(LipcStreamHandle stream, int wanted);

    [LibraryImport(Library, EntryPoint = "lipc_client_wait_any")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClientWaitAny(LipcClientHandle client, int timeoutMs, IntPtr* stream);

    [LibraryImport(Library, EntryPoint = "lipc_end_text")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    private static partial byte* EndTextText(int end);

    [LibraryImport(Library, EntryPoint = "lipc_stream_progress_sized")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int StreamProgress(LipcStreamHandle stream, LipcProgress* progress, nuint progressSize);

    [LibraryImport(Library, EntryPoint = "lipc_stream_tokens_sized")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int StreamTokens(
        LipcStreamHandle stream, nuint first, LipcToken* tokens, nuint tokenSize, nuint nTokens, nuint* nCopied);

    [LibraryImport(Library, EntryPoint = "lipc_stream_cancel")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void StreamCancel(LipcStreamHandle stream);

    [LibraryImport(Library, EntryPoint = "lipc_stream_id")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int StreamId(LipcStreamHandle stream, byte* text);

    [LibraryImport(Library, EntryPoint = "lipc_stream_detach")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void StreamDetach(IntPtr stream);

    [LibraryImport(Library, EntryPoint = "lipc_stream_attach")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int StreamAttach(
        LipcClientHandle client, byte* id, ulong offset, int readOnly, out LipcStreamHandle stream);

    [LibraryImport(Library, EntryPoint = "lipc_stream_close")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void StreamClose(IntPtr stream);

    [LibraryImport(Library, EntryPoint = "lipc_classic_open", StringMarshalling = StringMarshalling.Utf8)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClassicOpen(string? name, out LipcClassicHandle handle);

    [LibraryImport(Library, EntryPoint = "lipc_classic_connect")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClassicConnect(LipcClassicHandle handle, int timeoutMs);

    [LibraryImport(Library, EntryPoint = "lipc_classic_request")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClassicRequest(
        LipcClassicHandle handle, byte* systemPrompt, byte* userPrompt, int timeoutMs, LipcClassicResult* result);

    [LibraryImport(Library, EntryPoint = "lipc_classic_stream")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClassicStream(
        LipcClassicHandle handle,
        byte* systemPrompt,
        byte* userPrompt,
        int timeoutMs,
        delegate* unmanaged[Cdecl]<void*, LipcClassicResult*, int> onUpdate,
        void* userData,
        LipcClassicResult* result);

    [LibraryImport(Library, EntryPoint = "lipc_classic_limit_updates")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClassicLimitUpdates(LipcClassicHandle handle, int updatesPerSecond);

    [LibraryImport(Library, EntryPoint = "lipc_classic_cancel")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ClassicCancel(LipcClassicHandle handle);

    [LibraryImport(Library, EntryPoint = "lipc_classic_shutdown")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClassicShutdown(LipcClassicHandle handle, int timeoutMs);

    [LibraryImport(Library, EntryPoint = "lipc_classic_host_pid")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ClassicHostPid(LipcClassicHandle handle);

    [LibraryImport(Library, EntryPoint = "lipc_classic_close")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ClassicClose(IntPtr handle);

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
