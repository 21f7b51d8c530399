// The options of a client.
namespace LlamaIpc;

/// <summary>What to do about a host that is already running under the name, and about one that is not.</summary>
public enum HostAttachMode
{
    /// <summary>Use the running host if there is one; otherwise start one.</summary>
    AttachOrStart,

    /// <summary>Use the running host; never start one. It is an error if there is none.</summary>
    Attach,

    /// <summary>Start a host. It is an error if one is running already.</summary>
    Start,
}

/// <summary>
/// How a <see cref="LlamaCppStreamingClient"/> finds or starts its host. The defaults are those of the guide.
/// </summary>
public sealed record LlamaCppClientOptions
{
    /// <summary>
    /// The host program. A path with a folder in it is taken relative to the current folder; a bare name is looked for
    /// in the application's folder, the current folder and PATH. Not needed with <see cref="HostAttachMode.Attach"/>.
    /// </summary>
    public string ExecutablePath { get; init; } = "./build/chatbot";

    /// <summary>
    /// Arguments for a host that is started, in the spelling of <c>chatbot --help</c>, one element each: <c>["--temp",
    /// "0"]</c>. They come last, so they win over what the other options say. A running host does not see them.
    /// </summary>
    public IReadOnlyList<string> ExtraArguments { get; init; } = [];

    /// <summary>
    /// The model file for a host that is started; null: the host's own choice, its built-in model by default.
    /// </summary>
    public string? ModelPath { get; init; }

    /// <summary>
    /// The instance name, which tells several hosts of one user apart; null: the environment variable LIPC_NAME, and
    /// without it "llama_cpp", the name of the guide.
    /// </summary>
    public string? InstanceName { get; init; }

    /// <summary>The folder a host is started in; null: the current folder.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>
    /// How long to wait until a host can serve, its model loaded. <see cref="Timeout.InfiniteTimeSpan"/> waits without
    /// limit. A host that ends meanwhile is noticed at once.
    /// </summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// How long a request may take, waiting for earlier requests included. No limit by default: how long an answer
    /// takes is a matter of the model and the machine.
    /// </summary>
    public TimeSpan RequestTimeout { get; init; } = Timeout.InfiniteTimeSpan;

    /// <summary>
    /// Whether to use a host that is running already, to start one, or the first and then the second.
    /// </summary>
    public HostAttachMode AttachToRunningHost { get; init; } = HostAttachMode.AttachOrStart;

    /// <summary>
    /// How often <see cref="LlamaCppStreamingClient.OnStreamUpdate"/> is raised at most; 0: whenever there is something new.
    /// The first and the last update of an answer come at once, and each has the newest text, so a window that draws all of
    /// them is not kept busy by a fast model.
    /// </summary>
    public int UpdatesPerSecond { get; init; }

    /// <summary>Throws if a value makes no sense.</summary>
    internal void Validate()
    {
        ArgumentNullException.ThrowIfNull(ExtraArguments);
        if (AttachToRunningHost != HostAttachMode.Attach)
        {
            ArgumentException.ThrowIfNullOrWhiteSpace(ExecutablePath);
        }
        if (!Enum.IsDefined(AttachToRunningHost))
        {
            throw new ArgumentOutOfRangeException(
                nameof(AttachToRunningHost), AttachToRunningHost, "Not a value of HostAttachMode.");
        }
        ArgumentOutOfRangeException.ThrowIfNegative(UpdatesPerSecond);
        Deadline.CheckTimeout(ConnectTimeout, nameof(ConnectTimeout));
        Deadline.CheckTimeout(RequestTimeout, nameof(RequestTimeout));
    }
}
