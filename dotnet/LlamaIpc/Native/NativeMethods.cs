// The functions of include/lipc/lipc.h, one declaration each, in the header's order. A test checks that none is
// missing.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: DisableRuntimeMarshalling]

namespace LlamaIpc.Native;

/// <summary>An answer, or as much of one as there is: <c>lipc_classic_result</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcClassicResult
{
    internal byte* Text;
    internal nuint NBytes;
    internal nuint NNewFrom;
    internal int NTokens;
    internal int NUpdates;
    internal int Complete;
    internal int PromptCut;
}

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

    /// <summary>
    /// What the last failed call of this thread found. The library keeps it per thread until that thread's next call,
    /// so it has to be read right after the call that failed.
    /// </summary>
    internal static string LastErrorMessage(int error)
    {
        string message = Text(ErrorMessageText());
        return message.Length > 0 ? message : ErrorText(error);
    }

    private static string Text(byte* text) => Marshal.PtrToStringUTF8((IntPtr)text) ?? "";
}
