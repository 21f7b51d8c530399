// What can go wrong, as exceptions. README.md has the table of error codes and types.
namespace LlamaIpc;

/// <summary>
/// A request or a connection failed. Each kind of failure has a type of its own, derived from this one; this one itself
/// stands for what the operating system refused, told apart by <see cref="Error"/>.
/// </summary>
public class LlamaIpcException : Exception
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="error">The code.</param>
    /// <param name="message">A sentence that says what to do.</param>
    /// <param name="inner">The reason; null: none.</param>
    public LlamaIpcException(LipcError error, string message, Exception? inner = null)
        : this(error, message, context: null, inner)
    {
    }

    internal LlamaIpcException(LipcError error, string message, FailureContext? context, Exception? inner = null)
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
    public IReadOnlyList<string> HostErrorLines { get; init; }

    /// <summary>
    /// The host's exit code, if this client started it and it has ended; <see cref="LlamaIpc.HostExitCode.Describe"/>
    /// says what it means. On Linux, 128 + n means that signal n ended it.
    /// </summary>
    public int? HostExitCode { get; init; }

    /// <summary>The part of the answer that had arrived; empty if none had.</summary>
    public string PartialResponse { get; init; }

    /// <summary>The number of tokens in <see cref="PartialResponse"/>.</summary>
    public int TokensGenerated { get; init; }

    /// <summary>The exception for an error code.</summary>
    internal static LlamaIpcException Of(LipcError error, string message, FailureContext? context = null) =>
        error switch
        {
            LipcError.Invalid => new RequestInvalidException(message, context),
            LipcError.NoHost => new HostNotFoundException(message),
            LipcError.HostGone => new HostGoneException(message, context),
            LipcError.Timeout => new HostTimeoutException(message, context),
            LipcError.Access => new HostAccessException(message),
            LipcError.Layout => new HostVersionException(message),
            LipcError.Refused => new RequestRefusedException(message, context),
            LipcError.Failed => new ModelFailedException(message, context),
            LipcError.Full => new HostFullException(message),
            LipcError.Gone => new StreamNotFoundException(message, context),
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
public class HostStartException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public HostStartException(string message)
        : this(LipcError.System, message)
    {
    }

    internal HostStartException(LipcError error, string message, FailureContext? context = null, Exception? inner = null)
        : base(error, message, context, inner)
    {
    }
}

/// <summary>There is no file of the model that a host was to be started with, or it cannot be read.</summary>
public sealed class ModelNotFoundException : HostStartException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says which file, and what to do.</param>
    public ModelNotFoundException(string message)
        : base(message)
    {
    }

    internal ModelNotFoundException(
        LipcError error, string message, FailureContext? context = null, Exception? inner = null)
        : base(error, message, context, inner)
    {
    }
}

/// <summary>
/// The running host has another model than the one that was asked for. Give the application an instance name of its own, or
/// say with <see cref="LlamaClientOptions.OtherModel"/> what is to be done.
/// </summary>
public sealed class OtherModelException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says which models, and what to do.</param>
    public OtherModelException(string message)
        : base(LipcError.Refused, message)
    {
    }
}

/// <summary>There is no host program to start. The message says where it was looked for.</summary>
public sealed class HostProgramNotFoundException : HostStartException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says where it was looked for, and what to do.</param>
    public HostProgramNotFoundException(string message)
        : base(LipcError.System, message)
    {
    }
}

/// <summary>
/// No host is running under the name, and the options say not to start one.
/// </summary>
public sealed class HostNotFoundException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public HostNotFoundException(string message)
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
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public HostGoneException(string message)
        : this(message, context: null)
    {
    }

    internal HostGoneException(string message, FailureContext? context)
        : base(LipcError.HostGone, message, context)
    {
    }
}

/// <summary>
/// The time-out passed. A host that was working on the request has been told to stop.
/// </summary>
public sealed class HostTimeoutException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public HostTimeoutException(string message)
        : this(message, context: null)
    {
    }

    internal HostTimeoutException(string message, FailureContext? context)
        : base(LipcError.Timeout, message, context)
    {
    }
}

/// <summary>
/// The host has no room for another client.
/// </summary>
public sealed class HostFullException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public HostFullException(string message)
        : base(LipcError.Full, message)
    {
    }
}

/// <summary>
/// The host belongs to another user.
/// </summary>
public sealed class HostAccessException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public HostAccessException(string message)
        : base(LipcError.Access, message)
    {
    }
}

/// <summary>
/// What lies under the name was not made by a host, or by one of a version that does not go with this library.
/// </summary>
public sealed class HostVersionException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public HostVersionException(string message)
        : base(LipcError.Layout, message)
    {
    }
}

/// <summary>
/// The request or an option makes no sense: a number out of its bounds, no message, an unknown role, a name that is not
/// valid. The message says which.
/// </summary>
public sealed class RequestInvalidException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public RequestInvalidException(string message)
        : this(message, context: null)
    {
    }

    internal RequestInvalidException(string message, FailureContext? context)
        : base(LipcError.Invalid, message, context)
    {
    }
}

/// <summary>
/// The host cannot serve the request: it is longer than the host has room for, its grammar is malformed, or the like.
/// The message says what.
/// </summary>
public sealed class RequestRefusedException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public RequestRefusedException(string message)
        : this(message, context: null)
    {
    }

    internal RequestRefusedException(string message, FailureContext? context)
        : base(LipcError.Refused, message, context)
    {
    }
}

/// <summary>
/// The model failed: while it answered, or because it could not be loaded. The message says why.
/// </summary>
public sealed class ModelFailedException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public ModelFailedException(string message)
        : this(message, context: null)
    {
    }

    internal ModelFailedException(string message, FailureContext? context)
        : base(LipcError.Failed, message, context)
    {
    }
}

/// <summary>
/// There is no such stream, or not any more.
/// </summary>
public sealed class StreamNotFoundException : LlamaIpcException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">A sentence that says what to do.</param>
    public StreamNotFoundException(string message)
        : this(message, context: null)
    {
    }

    internal StreamNotFoundException(string message, FailureContext? context)
        : base(LipcError.Gone, message, context)
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
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="result">What there is of the answer.</param>
    public AnswerTruncatedException(LlamaResult result)
        : base(
            LipcError.Ok,
            $"The answer is not whole: {Describe((result ?? throw new ArgumentNullException(nameof(result))).End)}.",
            new FailureContext([], null, result.Text, result.Tokens))
    {
        End = result.End;
    }

    /// <summary>Why the answer ended.</summary>
    public LlamaEnd End { get; }

    private static string Describe(LlamaEnd end) => end switch
    {
        LlamaEnd.Limit => "the host's limit of tokens was reached",
        LlamaEnd.Context => "the context is full",
        LlamaEnd.Full => "the answer does not fit into its stream",
        _ => $"it ended by {end}",
    };
}

/// <summary>The request was cancelled, and the host's work on it stopped. Holds what had arrived.</summary>
public sealed class RequestCanceledException : OperationCanceledException
{
    /// <summary>Makes one, for tests of code that handles it.</summary>
    /// <param name="message">What happened.</param>
    /// <param name="partialResponse">The part of the answer that had arrived.</param>
    /// <param name="tokensGenerated">The number of tokens in it.</param>
    /// <param name="cancellationToken">The token that was cancelled, if it was one.</param>
    public RequestCanceledException(
        string message,
        string partialResponse = "",
        int tokensGenerated = 0,
        CancellationToken cancellationToken = default)
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
