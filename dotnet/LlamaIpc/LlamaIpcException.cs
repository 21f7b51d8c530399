// What can go wrong, as exceptions. README.md has the table of error codes and types.
namespace LlamaIpc;

/// <summary>
/// A request or a connection failed. Types derived from it name the common cases; this one itself stands for the rest,
/// told apart by <see cref="Error"/>.
/// </summary>
public class LlamaIpcException : Exception
{
    internal LlamaIpcException(LipcError error, string message, FailureContext? context = null, Exception? inner = null)
        : base(ComposeMessage(message, context), inner)
    {
        Error = error;
        HostErrorLines = context?.HostErrorLines ?? [];
        HostExitCode = context?.HostExitCode;
        PartialResponse = context?.PartialResponse ?? "";
        TokensGenerated = context?.TokensGenerated ?? 0;
    }

    /// <summary>The code that the native library gave.</summary>
    public LipcError Error { get; }

    /// <summary>
    /// The last lines that the host wrote to its standard error. Empty if this client did not start the host.
    /// </summary>
    public IReadOnlyList<string> HostErrorLines { get; }

    /// <summary>
    /// The host's exit code, if this client started it and it has ended; <see cref="LlamaIpc.HostExitCode.Describe"/>
    /// says what it means. On Linux, 128 + n means that signal n ended it.
    /// </summary>
    public int? HostExitCode { get; }

    /// <summary>The part of the answer that had arrived; empty if none had.</summary>
    public string PartialResponse { get; }

    /// <summary>The number of tokens in <see cref="PartialResponse"/>.</summary>
    public int TokensGenerated { get; }

    /// <summary>The exception for an error code.</summary>
    internal static LlamaIpcException Of(LipcError error, string message, FailureContext? context = null) =>
        error switch
        {
            LipcError.HostGone => new HostGoneException(message, context),
            LipcError.NoHost => new HostNotFoundException(message),
            LipcError.Timeout => new HostTimeoutException(message, context),
            LipcError.Refused => new RequestRefusedException(message, context),
            _ => new LlamaIpcException(error, message, context),
        };

    private static string ComposeMessage(string message, FailureContext? context)
    {
        if (context is null)
        {
            return message;
        }
        if (context.HostExitCode is int code)
        {
            message = $"{message.TrimEnd('.')}. The host's exit code is {code}: {LlamaIpc.HostExitCode.Describe(code)}.";
        }
        return context.HostErrorLines.Count == 0
            ? message
            : $"{message} Its last lines:{Environment.NewLine}  "
              + string.Join(Environment.NewLine + "  ", context.HostErrorLines.TakeLast(5));
    }
}

/// <summary>The host program could not be started, or ended before it could serve.</summary>
public sealed class HostStartException : LlamaIpcException
{
    internal HostStartException(LipcError error, string message, FailureContext? context = null, Exception? inner = null)
        : base(error, message, context, inner)
    {
    }
}

/// <summary>No host is running under the name, and the options say not to start one.</summary>
public sealed class HostNotFoundException : LlamaIpcException
{
    internal HostNotFoundException(string message)
        : base(LipcError.NoHost, message)
    {
    }
}

/// <summary>
/// The host ended or was killed while it was needed. Connect to a new one:
/// <see cref="LlamaClient.ConnectAsync(LlamaClientOptions, IProgress{LlamaHostStatus}, CancellationToken)"/>, or
/// <see cref="LlamaCppStreamingClient.Initialize(string)"/> again.
/// </summary>
public sealed class HostGoneException : LlamaIpcException
{
    internal HostGoneException(string message, FailureContext? context)
        : base(LipcError.HostGone, message, context)
    {
    }
}

/// <summary>The time-out passed. A host that was working on the request has been told to stop.</summary>
public sealed class HostTimeoutException : LlamaIpcException
{
    internal HostTimeoutException(string message, FailureContext? context = null)
        : base(LipcError.Timeout, message, context)
    {
    }
}

/// <summary>
/// The host cannot serve the request: it is longer than the host has room for, its grammar is malformed, or the like.
/// The message says what.
/// </summary>
public sealed class RequestRefusedException : LlamaIpcException
{
    internal RequestRefusedException(string message, FailureContext? context)
        : base(LipcError.Refused, message, context)
    {
    }
}

/// <summary>
/// The answer is not whole: it ended because there was no more room for it.
/// <see cref="LlamaIpcException.PartialResponse"/> holds it. Thrown by the calls that return nothing but text;
/// <see cref="LlamaStream.Result"/> tells the same without an exception.
/// </summary>
public sealed class AnswerTruncatedException : LlamaIpcException
{
    internal AnswerTruncatedException(LlamaResult result)
        : base(
            LipcError.Ok,
            $"The answer is not whole: {Native.NativeMethods.EndText((int)result.End)}.",
            new FailureContext([], null, result.Text, result.Tokens))
    {
        End = result.End;
    }

    /// <summary>Why the answer ended.</summary>
    public LlamaEnd End { get; }
}

/// <summary>The request was cancelled, and the host's work on it stopped. Holds what had arrived.</summary>
public sealed class RequestCanceledException : OperationCanceledException
{
    internal RequestCanceledException(
        string message, string partialResponse, int tokensGenerated, CancellationToken cancellationToken)
        : base(message, cancellationToken)
    {
        PartialResponse = partialResponse;
        TokensGenerated = tokensGenerated;
    }

    /// <summary>The part of the answer that had arrived; empty if none had.</summary>
    public string PartialResponse { get; }

    /// <summary>The number of tokens in <see cref="PartialResponse"/>.</summary>
    public int TokensGenerated { get; }
}

/// <summary>What is known besides the error code when something fails.</summary>
internal sealed record FailureContext(
    IReadOnlyList<string> HostErrorLines, int? HostExitCode, string PartialResponse = "", int TokensGenerated = 0);
