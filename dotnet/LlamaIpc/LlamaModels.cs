// Models by name, without a host.
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>How a model is fetched.</summary>
public sealed record LlamaFetchOptions
{
    /// <summary>
    /// The host program, which fetches, in a process of its own: found as <see cref="LlamaClientOptions.HostPath"/> is.
    /// </summary>
    public string HostPath { get; init; } = "chatbot";

    /// <summary>Whether to use the cache alone.</summary>
    public bool Offline { get; init; }
}

/// <summary>How far the download of a model is.</summary>
/// <param name="Bytes">The bytes that have come.</param>
/// <param name="TotalBytes">All bytes; 0 if that is not known yet.</param>
/// <param name="BytesPerSecond">The bytes that come in a second.</param>
public sealed record LlamaDownload(long Bytes, long TotalBytes, long BytesPerSecond);

/// <summary>
/// Fetches models before a host is started with them. A host fetches by itself what <see cref="LlamaClientOptions.ModelPath"/>
/// or <see cref="LlamaClient.LoadModelAsync"/> names.
/// </summary>
public static class LlamaModels
{
    private const int PathSize = 4096;

    /// <inheritdoc cref="FetchAsync(string, LlamaFetchOptions, IProgress{LlamaDownload}?, CancellationToken)"/>
    public static Task<string> FetchAsync(
        string name, IProgress<LlamaDownload>? progress = null, CancellationToken cancellationToken = default) =>
        FetchAsync(name, new LlamaFetchOptions(), progress, cancellationToken);

    /// <summary>
    /// Fetches a model into llama.cpp's cache, unless it is there. A download that was cancelled, or whose process was
    /// killed, is continued the next time; several processes that want the same file share one. Blocks no thread of the pool.
    /// </summary>
    /// <param name="name">
    /// <c>hf://user/model</c> or <c>hf://user/model:quant</c> of a model hub, or an address that begins with <c>https://</c>.
    /// The environment that this process was started with says where the hub and the cache are (HF_ENDPOINT, HF_TOKEN,
    /// LLAMA_CACHE).
    /// </param>
    /// <param name="options">How.</param>
    /// <param name="progress">Is told each change. What it throws ends the download and is thrown by the task.</param>
    /// <param name="cancellationToken">Ends the download; what has come is kept for the next try.</param>
    /// <returns>The path of the model's file, the first one of several.</returns>
    /// <exception cref="RequestRefusedException">There is no such model.</exception>
    /// <exception cref="ModelFailedException">It cannot be fetched; the message says why.</exception>
    /// <exception cref="RequestInvalidException">It is no such name.</exception>
    /// <exception cref="HostProgramNotFoundException">There is no host program.</exception>
    /// <exception cref="HostStartException">The host program cannot be run.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static async Task<string> FetchAsync(
        string name,
        LlamaFetchOptions options,
        IProgress<LlamaDownload>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentException.ThrowIfNullOrWhiteSpace(options.HostPath);
        cancellationToken.ThrowIfCancellationRequested();
        Download download = new(progress, cancellationToken);
        return await WaiterThread.RunOnOwn(() => download.Run(name, options)).ConfigureAwait(false);
    }

    /// <summary>One download, on a thread of its own.</summary>
    private sealed class Download(IProgress<LlamaDownload>? progress, CancellationToken cancellationToken)
    {
        private const int GoOn = 0;
        private const int Stop = 1;

        private static readonly unsafe NativeMethods.OnFetch OnNativeProgress = ReportNativeProgress;

        private LlamaDownload? last;
        private ExceptionDispatchInfo? failure;

        internal unsafe string Run(string name, LlamaFetchOptions options)
        {
            using NativeText text = new();
            LipcFetchOptions native;
            NativeMethods.FetchOptionsInit(&native, (nuint)sizeof(LipcFetchOptions));
            native.Offline = options.Offline ? 1 : 0;
            native.HostPath = text.Add(HostProgram.Find(options.HostPath), nameof(options.HostPath));
            byte* path = stackalloc byte[PathSize];
            GCHandle self = GCHandle.Alloc(this);
            try
            {
                int error = NativeMethods.ModelFetch(
                    text.Add(name, nameof(name)), &native, OnNativeProgress, (void*)GCHandle.ToIntPtr(self), path, PathSize);
                string message = error == (int)LipcError.Ok ? "" : NativeMethods.LastErrorMessage(error);
                failure?.Throw(); // Also if the file was there before the last report could stop its download.
                return error == (int)LipcError.Ok ? NativeMethods.Text(path) : throw Failure(error, message);
            }
            finally
            {
                self.Free();
            }
        }

        private Exception Failure(int error, string message) => (LipcError)error switch
        {
            LipcError.Cancelled => new OperationCanceledException(message, cancellationToken),
            LipcError.NoHost => new HostStartException(LipcError.NoHost, message),
            _ => LlamaIpcException.Of((LipcError)error, message),
        };

        [MonoPInvokeCallback(typeof(NativeMethods.OnFetch))]
        private static unsafe int ReportNativeProgress(void* userData, LipcFetchProgress* now)
        {
            Download download = (Download)GCHandle.FromIntPtr((IntPtr)userData).Target!;
            try
            {
                return download.Report(
                    new((long)now->DownloadBytes, (long)now->DownloadTotal, (long)now->DownloadRate));
            }
            catch (Exception e)
            {
                // It must not cross native frames; whoever waits for the download gets it.
                download.failure = ExceptionDispatchInfo.Capture(e);
                return Stop;
            }
        }

        private int Report(LlamaDownload now)
        {
            if (now != last && !cancellationToken.IsCancellationRequested)
            {
                last = now;
                progress?.Report(now);
            }
            return cancellationToken.IsCancellationRequested ? Stop : GoOn;
        }
    }
}
