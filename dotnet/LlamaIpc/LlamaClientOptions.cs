// How a LlamaClient finds its host.
namespace LlamaIpc;

/// <summary>What to do if no host runs under the name. The numbers are those of <c>lipc_start</c>.</summary>
public enum HostStart
{
    /// <summary>Fail with a <see cref="HostNotFoundException"/>.</summary>
    Never = 0,

    /// <summary>Start one that ends when the client is disposed or this process ends.</summary>
    WithMe = 1,

    /// <summary>Start one that stays, for others and for later.</summary>
    Detached = 2,
}

/// <summary>What to do if the running host has another model than <see cref="LlamaClientOptions.ModelPath"/>.</summary>
public enum OtherModel
{
    /// <summary>Fail with an <see cref="OtherModelException"/>.</summary>
    Fail,

    /// <summary>Have the host change its model, for all of its clients.</summary>
    Load,

    /// <summary>Use the model that it has.</summary>
    Accept,
}

/// <summary>How a <see cref="LlamaClient"/> finds or starts its host, and how it waits.</summary>
public sealed record LlamaClientOptions
{
    /// <summary>
    /// The instance name, which tells several hosts of one user apart; null: the environment variable LIPC_NAME, and
    /// without it "llama_cpp".
    /// </summary>
    public string? InstanceName { get; init; }

    /// <summary>What to do if no host runs under the name.</summary>
    public HostStart Start { get; init; } = HostStart.WithMe;

    /// <summary>
    /// The file of the model for a host that is started, in the GGUF format; null: the host's own choice, its built-in
    /// model by default. A relative path is one from the current folder. Or its name, which the host fetches once:
    /// <c>hf://user/model:quant</c> of a model hub, or an address that begins with <c>https://</c>. A running host that has another one is what
    /// <see cref="OtherModel"/> is about.
    /// </summary>
    public string? ModelPath { get; init; }

    /// <summary>
    /// What to do if a host runs already and has another model than <see cref="ModelPath"/>, by the path of its file. Looked
    /// at when the host is ready: not without <see cref="WaitUntilReady"/>.
    /// </summary>
    public OtherModel OtherModel { get; init; }

    /// <summary>
    /// The host program. A path with a folder in it is taken relative to the current folder; a bare name is looked for
    /// where the package LlamaIpc.Host puts it, in the application's folder, in the build folder of a checkout of this
    /// project, in the current folder and in PATH.
    /// </summary>
    public string HostPath { get; init; } = "chatbot";

    /// <summary>
    /// Arguments for a host that is started, in the spelling of <c>chatbot --help</c>, one element each:
    /// <c>["-m", "model.gguf"]</c>. A running host does not see them.
    /// </summary>
    public IReadOnlyList<string> HostArguments { get; init; } = [];

    /// <summary>
    /// How long finding or starting a host and attaching to it may take. Loading the model is not part of it: that
    /// takes as long as it takes, shows its progress and can be cancelled.
    /// </summary>
    public TimeSpan AttachTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Whether connecting includes waiting until the host has loaded its model. Otherwise the client is there at once;
    /// requests may be sent, and wait.
    /// </summary>
    public bool WaitUntilReady { get; init; } = true;

    /// <summary>
    /// How often new text in the middle of an answer may wake this process: 0, the default, for every token; N at most
    /// N times a second, with more text at a time. The first text and the end always come at once.
    /// </summary>
    public int WakesPerSecond { get; init; }

    /// <summary>The arguments of a host that is started: of two that contradict each other, the later one wins.</summary>
    internal IReadOnlyList<string> EffectiveArguments =>
        ModelPath is null ? HostArguments : ["--model", ModelFile!, .. HostArguments];

    /// <summary>The full path of the model that was asked for; null: none was.</summary>
    internal string? ModelFile => ModelPath is null || IsModelName(ModelPath) ? ModelPath : Path.GetFullPath(ModelPath);

    /// <summary>Whether this is a model's name (<c>hf://user/model:quant</c>, an address) and not a path.</summary>
    internal static bool IsModelName(string text) =>
        text.StartsWith("hf://", StringComparison.Ordinal) || text.StartsWith("https://", StringComparison.Ordinal)
        || text.StartsWith("http://", StringComparison.Ordinal);

    /// <summary>Whether a host that has the file has the model that was asked for by this path or name.</summary>
    internal static bool IsModel(string file, string wanted)
    {
        if (!IsModelName(wanted))
        {
            return Path.GetFullPath(file) == wanted;
        }
        string name = Path.GetFileName(file);
        if (!wanted.StartsWith("hf://", StringComparison.Ordinal))
        {
            return name == Path.GetFileName(wanted.Split('?', '#')[0]);
        }
        string[] parts = wanted.Substring("hf://".Length).Split(':');
        return file.Contains($"models--{parts[0].Replace("/", "--", StringComparison.Ordinal)}{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
            && (parts.Length < 2 || name.Contains(parts[1], StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>Throws if a value makes no sense.</summary>
    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(HostPath);
        ArgumentNullException.ThrowIfNull(HostArguments);
        if (ModelPath != null)
        {
            ArgumentException.ThrowIfNullOrWhiteSpace(ModelPath);
        }
        if (!Enum.IsDefined(Start))
        {
            throw new ArgumentOutOfRangeException(nameof(Start), Start, "Not a value of HostStart.");
        }
        if (!Enum.IsDefined(OtherModel))
        {
            throw new ArgumentOutOfRangeException(nameof(OtherModel), OtherModel, "Not a value of OtherModel.");
        }
        Deadline.CheckTimeout(AttachTimeout, nameof(AttachTimeout));
        ArgumentOutOfRangeException.ThrowIfNegative(WakesPerSecond);
    }
}
