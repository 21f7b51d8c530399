// The structures of include/lipc/lipc.h, in the header's order and with its names. A test compares the places, sizes
// and types of all fields with the header.
using System.Runtime.InteropServices;

namespace LlamaIpc.Native;

/// <summary>How to find or start a host: <c>lipc_client_options</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcClientOptions
{
    internal uint StructSize;
    internal int Start;
    internal byte* Name;
    internal byte* HostPath;
    internal byte** HostArguments;
    internal int TimeoutMs;
    internal int WakesPerSecond;
}

/// <summary>What a host says about itself: <c>lipc_host_status</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcHostStatus
{
    internal int State;
    internal int LoadPerMille;
    internal int HostPid;
    internal int NClients;
    internal int NStreams;
    internal int NRunning;
    internal int NQueued;
    internal int NParallel;
    internal int NCtx;
    internal int NCtxTrained;
    internal int NVocab;
    internal int NThreads;
    internal ulong NParameters;
    internal ulong ModelBytes;
    internal ulong RequestSize;
    internal ulong ResponseSize;
    internal fixed byte Model[128];
    internal fixed byte HostVersion[16];
    internal fixed byte ModelPath[1024];
    internal int IsAsleep;
    internal int Reserved;
    internal ulong DownloadBytes;
    internal ulong DownloadTotal;
    internal ulong DownloadRate;
    internal int NLayers;
    internal int NDeviceLayers;
    internal fixed byte Devices[256];
}

/// <summary>One message of a conversation: <c>lipc_message</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcMessage
{
    internal byte* Role;
    internal byte* Text;
}

/// <summary>One parameter by its name: <c>lipc_parameter</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcParameter
{
    internal byte* Name;
    internal double Number;
    internal byte* Text;
}

/// <summary>A request: <c>lipc_request</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcRequest
{
    internal const int IntDefault = int.MinValue;
    internal const long SeedRandom = -1;
    internal const long SeedDefault = -2;

    internal uint StructSize;
    internal int NMessages;
    internal LipcMessage* Messages;
    internal int NPredict;
    internal int TopK;
    internal float Temperature;
    internal float MinP;
    internal float TopP;
    internal float RepeatPenalty;
    internal float FrequencyPenalty;
    internal float PresencePenalty;
    internal int RepeatLastN;
    internal int Priority;
    internal long Seed;
    internal byte* Grammar;
    internal byte** Stops;
    internal int NStops;
    internal int Detachable;
    internal int IgnoreEos;
    internal int Logprobs;
    internal int Reserved0;
    internal int Render;
    internal byte* Document;
    internal byte* LoadPath;
    internal LipcParameter* Parameters;
    internal int NParameters;
    internal int Reserved;
    internal byte* SavePath;
    internal byte* RestorePath;
}

/// <summary>New text of an answer: <c>lipc_delta</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcDelta
{
    internal byte* Text;
    internal nuint NBytes;
    internal ulong Offset;
}

/// <summary>A piece of a thought, of a call, or of the text: <c>lipc_part_delta</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcPartDelta
{
    internal int Kind;
    internal int Part;
    internal int Call;
    internal int Begins;
    internal byte* Text;
    internal nuint NBytes;
    internal ulong Offset;
    internal ulong Position;
    internal byte* CallId;
    internal byte* Name;
    internal int FirstToken;
    internal int Reserved;
}

/// <summary>How far a stream is: <c>lipc_progress</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LipcProgress
{
    internal int State;
    internal int End;
    internal int Error;
    internal int QueuePosition;
    internal int NPrompt;
    internal int NPromptDone;
    internal int NTokens;
    internal int NCached;
    internal ulong NBytes;
    internal ulong QueuedNs;
    internal ulong PromptNs;
    internal ulong GenerateNs;
    internal uint Seed;
    internal uint Reserved2;
}

/// <summary>One token of an answer: <c>lipc_token</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LipcToken
{
    internal ulong End;
    internal int Id;
    internal float Logprob;
    internal ulong TimeNs;
}

/// <summary>One of the likeliest tokens: <c>lipc_prob</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcProb
{
    /// <summary>The most that there can be beside a token: LIPC_PROBS_MAX.</summary>
    internal const int Most = 20;

    internal int Id;
    internal float Logprob;
    internal uint NBytes;
    internal fixed byte Text[24];
}

/// <summary>How a model is fetched: <c>lipc_fetch_options</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LipcFetchOptions
{
    internal uint StructSize;
    internal int Offline;
    internal byte* HostPath;
}

/// <summary>How far a download is: <c>lipc_fetch_progress</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LipcFetchProgress
{
    internal ulong DownloadBytes;
    internal ulong DownloadTotal;
    internal ulong DownloadRate;
}

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
