// The options of a chat client in a program with dependency injection.
namespace LlamaIpc;

/// <summary>
/// How the host of a chat client is found or started. Filled by code or bound to a section of the configuration; the names
/// are those of <see cref="LlamaClientOptions"/>, which has the whole of each.
/// </summary>
public sealed class LlamaIpcOptions
{
    /// <inheritdoc cref="LlamaClientOptions.InstanceName"/>
    public string? InstanceName { get; set; }

    /// <inheritdoc cref="LlamaClientOptions.Start"/>
    public HostStart Start { get; set; } = HostStart.WithMe;

    /// <inheritdoc cref="LlamaClientOptions.ModelPath"/>
    public string? ModelPath { get; set; }

    /// <inheritdoc cref="LlamaClientOptions.OtherModel"/>
    public OtherModel OtherModel { get; set; }

    /// <inheritdoc cref="LlamaClientOptions.HostPath"/>
    public string HostPath { get; set; } = "chatbot";

    /// <inheritdoc cref="LlamaClientOptions.HostArguments"/>
    public IList<string> HostArguments { get; set; } = [];

    /// <inheritdoc cref="LlamaClientOptions.AttachTimeout"/>
    public TimeSpan AttachTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <inheritdoc cref="LlamaClientOptions.WakesPerSecond"/>
    public int WakesPerSecond { get; set; }

    /// <summary>
    /// The host is started and its model loaded when the program starts, and not only with the first request.
    /// </summary>
    public bool ConnectAtStart { get; set; }

    internal LlamaClientOptions ToClientOptions() => new()
    {
        InstanceName = InstanceName,
        Start = Start,
        ModelPath = ModelPath,
        OtherModel = OtherModel,
        HostPath = HostPath,
        HostArguments = [.. HostArguments],
        AttachTimeout = AttachTimeout,
        WakesPerSecond = WakesPerSecond,
    };
}
