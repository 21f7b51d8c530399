// What a host says about itself.
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>The states of a host, with the numbers of <c>lipc_host_state</c>.</summary>
public enum LlamaHostState
{
    /// <summary>It begins.</summary>
    Starting = 1,

    /// <summary>
    /// It loads its model, or another one (<see cref="LlamaClient.LoadModelAsync"/>);
    /// <see cref="LlamaHostStatus.LoadProgress"/> says how far it is.
    /// </summary>
    Loading = 2,

    /// <summary>It serves.</summary>
    Ready = 3,

    /// <summary>It finishes what it has and takes nothing new.</summary>
    Ending = 4,

    /// <summary>Its process has ended.</summary>
    Gone = 5,

    /// <summary>
    /// The part of it that runs the model died, and another loads the model; then every answer goes on where it was.
    /// <see cref="LlamaHostStatus.LoadProgress"/> says how far it is.
    /// </summary>
    Recovering = 6,
}

/// <summary>A host at one moment.</summary>
public sealed record LlamaHostStatus
{
    /// <summary>Makes one to be filled by an initializer, for a fake.</summary>
    public LlamaHostStatus()
    {
    }

    internal unsafe LlamaHostStatus(in LipcHostStatus native)
    {
        State = (LlamaHostState)native.State;
        LoadProgress = native.LoadPerMille / 1000.0;
        ProcessId = native.HostPid;
        Clients = native.NClients;
        StreamPlaces = native.NStreams;
        Running = native.NRunning;
        Queued = native.NQueued;
        Parallel = native.NParallel;
        ContextTokens = native.NCtx;
        TrainedContextTokens = native.NCtxTrained;
        VocabularyTokens = native.NVocab;
        Threads = native.NThreads;
        Parameters = (long)native.NParameters;
        ModelBytes = (long)native.ModelBytes;
        RequestBytes = (long)native.RequestSize;
        ResponseBytes = (long)native.ResponseSize;
        IsAsleep = native.IsAsleep != 0;
        DownloadBytes = (long)native.DownloadBytes;
        DownloadTotalBytes = (long)native.DownloadTotal;
        DownloadBytesPerSecond = (long)native.DownloadRate;
        Layers = native.NLayers;
        DeviceLayers = native.NDeviceLayers;
        fixed (byte* model = native.Model, version = native.HostVersion, path = native.ModelPath, devices = native.Devices)
        {
            Model = NativeMethods.Text(model);
            HostVersion = NativeMethods.Text(version);
            ModelPath = NativeMethods.Text(path);
            Devices = NativeMethods.Text(devices);
        }
    }

    /// <summary>What it is doing.</summary>
    public LlamaHostState State { get; init; }

    /// <summary>How much of the model is loaded, 0 to 1.</summary>
    public double LoadProgress { get; init; }

    /// <summary>The id of its process.</summary>
    public int ProcessId { get; init; }

    /// <summary>The clients that are attached.</summary>
    public int Clients { get; init; }

    /// <summary>The places for streams that there are.</summary>
    public int StreamPlaces { get; init; }

    /// <summary>The answers being made.</summary>
    public int Running { get; init; }

    /// <summary>The requests that wait for their turn.</summary>
    public int Queued { get; init; }

    /// <summary>The answers that can be made at a time.</summary>
    public int Parallel { get; init; }

    /// <summary>
    /// The tokens of context of each answer, prompt included; 0 until the model is loaded, as all below.
    /// </summary>
    public int ContextTokens { get; init; }

    /// <summary>The tokens of context that the model was trained for.</summary>
    public int TrainedContextTokens { get; init; }

    /// <summary>The tokens that the model knows.</summary>
    public int VocabularyTokens { get; init; }

    /// <summary>The threads that the model runs on.</summary>
    public int Threads { get; init; }

    /// <summary>The parameters of the model.</summary>
    public long Parameters { get; init; }

    /// <summary>The size of the model.</summary>
    public long ModelBytes { get; init; }

    /// <summary>The bytes that a request may have; known from the start.</summary>
    public long RequestBytes { get; init; }

    /// <summary>The bytes that an answer may have; known from the start.</summary>
    public long ResponseBytes { get; init; }

    /// <summary>What the model is, in words.</summary>
    public string Model { get; init; } = "";

    /// <summary>The model's file, an absolute path; empty if it is unknown.</summary>
    public string ModelPath { get; init; } = "";

    /// <summary>
    /// Whether it is ready, but without the model in memory (<c>chatbot --sleep-idle</c>). The next request loads it; the state
    /// is then <see cref="LlamaHostState.Loading"/> for a while.
    /// </summary>
    public bool IsAsleep { get; init; }

    /// <summary>The bytes that have come of a model that is being fetched by its name.</summary>
    public long DownloadBytes { get; init; }

    /// <summary>All bytes of that model; 0 if that is not known yet, or none is being fetched.</summary>
    public long DownloadTotalBytes { get; init; }

    /// <summary>The bytes of it that come in a second.</summary>
    public long DownloadBytesPerSecond { get; init; }

    /// <summary>The version of the host program.</summary>
    public string HostVersion { get; init; } = "";

    /// <summary>The layers of the model, with the output's; 0 if it is not known.</summary>
    public int Layers { get; init; }

    /// <summary>The layers that lie on devices, such as graphics cards.</summary>
    public int DeviceLayers { get; init; }

    /// <summary>Which devices, and what lies there, or why none; empty if it is not known.</summary>
    public string Devices { get; init; } = "";
}
