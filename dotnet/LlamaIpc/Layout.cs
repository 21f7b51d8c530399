// The numbers of the shared memory, as in include/lipc/layout.h. A test compares the two files, name by name.
namespace LlamaIpc;

/// <summary>
/// Names, offsets and sizes of the shared memory. The library itself leaves the memory to liblipc; these numbers are
/// for diagnosis and so that a change of the layout cannot go unnoticed on this side.
/// </summary>
internal static class Layout
{
    internal const string DefaultName = "llama_cpp";
    internal const int NameMax = 63;

    internal const string SuffixSegment = "_shared_mem";
    internal const string SuffixReady = "_sem_ready";
    internal const string SuffixPromptsWritten = "_sem_prompts_written";
    internal const string SuffixResponseWritten = "_sem_response_written";
    internal const string SuffixChunkReady = "_sem_chunk_ready";

    internal const int PromptSize = 4096;
    internal const int ResponseSize = 32768;
    internal const uint ReaderHostEnded = 0xFFFFFFFF;

    internal const int ClassicMapSize = 45000;
    internal const int ClassicRegionSize = 45056;

    internal const ulong HubMagic = 0x425548204350494C;
    internal const int LayoutMajor = 1;
    internal const int LayoutMinor = 5;

    internal const ulong FeatureParts = 1;
    internal const ulong FeatureDocuments = 2;
    internal const ulong FeatureParameters = 4;

    internal const uint BellNews = 1;
    internal const uint BellEnds = 2;

    internal const uint HubStarting = 1;
    internal const uint HubLoading = 2;
    internal const uint HubReady = 3;
    internal const uint HubEnding = 4;
    internal const uint HubRecovering = 6;

    internal const int HubOffset = 45056;
    internal const int HubRegionSize = 4096;
    internal const int HubEnd = HubOffset + HubRegionSize;

    internal const uint ClientFree = 0;
    internal const uint ClientAttaching = 1;
    internal const uint ClientAttached = 2;
    internal const uint ClientLeaving = 3;

    internal const uint ReservationNone = 0;
    internal const uint ReservationWaiting = 1;
    internal const uint ReservationGranted = 2;

    internal const uint ClaimFree = 0;
    internal const uint ClaimClaimed = 1;
    internal const uint ClaimSubmitted = 2;
    internal const uint ClaimDetached = 3;
    internal const uint ClaimReleased = 4;
    internal const uint ClaimOffered = 5;

    internal const uint NoOwner = 0xFFF;
    internal const int ClientsMax = 256;
    internal const int StreamsMax = 1024;
    internal const int PartsMax = 65535;

    internal const uint FlagDetachable = 1;
    internal const uint FlagIgnoreEos = 2;
    internal const uint FlagLogprobs = 4;
    internal const uint FlagLoad = 8;
    internal const uint FlagRender = 16;
    internal const uint OperationAnswer = 0;
    internal const uint OperationLoad = 1;

    internal const uint ItemMessage = 1;
    internal const uint ItemStop = 2;
    internal const uint ItemGrammar = 3;
    internal const uint ItemDocument = 4;
    internal const uint ItemParameter = 5;
    internal const uint ItemModelPath = 6;
    internal const int ModelPathMax = 4095;

    internal const int StopsMax = 16;
    internal const int StopBytesMax = 256;
    internal const int ItemsMax = 4096;

    /// <summary>The classic block: offset and size in bytes of each field. It is packed.</summary>
    internal static class ClassicBlock
    {
        internal const int SystemPromptOffset = 0;
        internal const int SystemPromptSize = PromptSize;
        internal const int UserPromptOffset = 4096;
        internal const int UserPromptSize = PromptSize;
        internal const int ResponseOffset = 8192;
        internal const int ResponseSize = Layout.ResponseSize;
        internal const int ShutdownRequestedOffset = 40960;
        internal const int ShutdownRequestedSize = 1;
        internal const int StreamModeOffset = 40961;
        internal const int StreamModeSize = 1;
        internal const int UpdateCounterOffset = 40962;
        internal const int UpdateCounterSize = 4;
        internal const int GenerationCompleteOffset = 40966;
        internal const int GenerationCompleteSize = 1;
        internal const int TokensGeneratedOffset = 40967;
        internal const int TokensGeneratedSize = 4;
        internal const int CancelRequestedOffset = 40971;
        internal const int CancelRequestedSize = 1;
        internal const int ReaderOffset = 40972;
        internal const int ReaderSize = 4;

        internal const int Size = 40976;
    }

    /// <summary>A hint to whoever sleeps.</summary>
    internal static class Doorbell
    {
        internal const int RingsOffset = 0;
        internal const int RingsSize = 4;
        internal const int ArmedOffset = 4;
        internal const int ArmedSize = 4;

        internal const int Size = 8;
    }

    /// <summary>What the host is, and where everything lies.</summary>
    internal static class Hub
    {
        internal const int MagicOffset = 0;
        internal const int MagicSize = 8;
        internal const int LayoutMajorOffset = 8;
        internal const int LayoutMajorSize = 2;
        internal const int LayoutMinorOffset = 10;
        internal const int LayoutMinorSize = 2;
        internal const int HostPidOffset = 12;
        internal const int HostPidSize = 4;
        internal const int HostStartTimeOffset = 16;
        internal const int HostStartTimeSize = 8;
        internal const int FeaturesOffset = 24;
        internal const int FeaturesSize = 8;
        internal const int SegmentSizeOffset = 32;
        internal const int SegmentSizeSize = 8;
        internal const int HubSizeOffset = 40;
        internal const int HubSizeSize = 4;
        internal const int EpochOffset = 44;
        internal const int EpochSize = 4;
        internal const int ClientsOffsetOffset = 48;
        internal const int ClientsOffsetSize = 8;
        internal const int ClientSizeOffset = 56;
        internal const int ClientSizeSize = 4;
        internal const int NClientsOffset = 60;
        internal const int NClientsSize = 4;
        internal const int StreamsOffsetOffset = 64;
        internal const int StreamsOffsetSize = 8;
        internal const int StreamSizeOffset = 72;
        internal const int StreamSizeSize = 8;
        internal const int NStreamsOffset = 80;
        internal const int NStreamsSize = 4;
        internal const int RequestOffsetOffset = 84;
        internal const int RequestOffsetSize = 4;
        internal const int RequestSizeOffset = 88;
        internal const int RequestSizeSize = 4;
        internal const int LogOffsetOffset = 92;
        internal const int LogOffsetSize = 4;
        internal const int LogSizeOffset = 96;
        internal const int LogSizeSize = 4;
        internal const int IndexOffsetOffset = 100;
        internal const int IndexOffsetSize = 4;
        internal const int IndexLengthOffset = 104;
        internal const int IndexLengthSize = 4;
        internal const int PartsOffsetOffset = 108;
        internal const int PartsOffsetSize = 4;
        internal const int PartsSizeOffset = 112;
        internal const int PartsSizeSize = 4;
        internal const int PartsIndexOffsetOffset = 116;
        internal const int PartsIndexOffsetSize = 4;
        internal const int PartsLengthOffset = 120;
        internal const int PartsLengthSize = 4;
        internal const int Reserved0Offset = 124;
        internal const int Reserved0Size = 4;
        internal const int StateOffset = 128;
        internal const int StateSize = 4;
        internal const int LoadPerMilleOffset = 132;
        internal const int LoadPerMilleSize = 4;
        internal const int NAttachedOffset = 136;
        internal const int NAttachedSize = 4;
        internal const int NRunningOffset = 140;
        internal const int NRunningSize = 4;
        internal const int NQueuedOffset = 144;
        internal const int NQueuedSize = 4;
        internal const int WorkerPidOffset = 148;
        internal const int WorkerPidSize = 4;
        internal const int NRecoveriesOffset = 152;
        internal const int NRecoveriesSize = 4;
        internal const int FactsVersionOffset = 156;
        internal const int FactsVersionSize = 4;
        internal const int Reserved1Offset = 160;
        internal const int Reserved1Size = 32;
        internal const int HostVersionOffset = 192;
        internal const int HostVersionSize = 16;
        internal const int Reserved2Offset = 208;
        internal const int Reserved2Size = 48;
        internal const int ModelOffset = 256;
        internal const int ModelSize = 128;
        internal const int NCtxOffset = 384;
        internal const int NCtxSize = 4;
        internal const int NCtxTrainedOffset = 388;
        internal const int NCtxTrainedSize = 4;
        internal const int NVocabOffset = 392;
        internal const int NVocabSize = 4;
        internal const int NThreadsOffset = 396;
        internal const int NThreadsSize = 4;
        internal const int NParallelOffset = 400;
        internal const int NParallelSize = 4;
        internal const int Reserved3Offset = 404;
        internal const int Reserved3Size = 4;
        internal const int NParametersOffset = 408;
        internal const int NParametersSize = 8;
        internal const int ModelBytesOffset = 416;
        internal const int ModelBytesSize = 8;
        internal const int Reserved4Offset = 424;
        internal const int Reserved4Size = 88;
        internal const int BellOffset = 512;
        internal const int BellSize = 8;
        internal const int ShutdownOffset = 520;
        internal const int ShutdownSize = 4;
        internal const int Reserved5Offset = 524;
        internal const int Reserved5Size = 52;
        internal const int NextTicketOffset = 576;
        internal const int NextTicketSize = 8;
        internal const int Reserved6Offset = 584;
        internal const int Reserved6Size = 440;
        internal const int ModelPathOffset = 1024;
        internal const int ModelPathSize = 1024;

        internal const int Size = 2048;
    }

    /// <summary>One attached process.</summary>
    internal static class ClientRecord
    {
        internal const int ClaimOffset = 0;
        internal const int ClaimSize = 8;
        internal const int StartTimeOffset = 8;
        internal const int StartTimeSize = 8;
        internal const int ReservationOffset = 16;
        internal const int ReservationSize = 8;
        internal const int Reserved0Offset = 24;
        internal const int Reserved0Size = 40;
        internal const int BellOffset = 64;
        internal const int BellSize = 8;
        internal const int Reserved1Offset = 72;
        internal const int Reserved1Size = 56;
        internal const int QueuePositionOffset = 128;
        internal const int QueuePositionSize = 4;
        internal const int Reserved2Offset = 132;
        internal const int Reserved2Size = 124;

        internal const int Size = 256;
    }

    /// <summary>One request and its answer.</summary>
    internal static class StreamHeader
    {
        internal const int ClaimOffset = 0;
        internal const int ClaimSize = 8;
        internal const int CancelOffset = 8;
        internal const int CancelSize = 8;
        internal const int IdOffset = 16;
        internal const int IdSize = 16;
        internal const int RequestBytesOffset = 32;
        internal const int RequestBytesSize = 4;
        internal const int Reserved0Offset = 36;
        internal const int Reserved0Size = 28;
        internal const int WatchersOffset = 64;
        internal const int WatchersSize = 32;
        internal const int Reserved1Offset = 96;
        internal const int Reserved1Size = 32;
        internal const int PublishedOffset = 128;
        internal const int PublishedSize = 8;
        internal const int StatusOffset = 136;
        internal const int StatusSize = 8;
        internal const int NCachedOffset = 144;
        internal const int NCachedSize = 4;
        internal const int Reserved3Offset = 148;
        internal const int Reserved3Size = 4;
        internal const int PartsOffset = 152;
        internal const int PartsSize = 8;
        internal const int PartsSumOffset = 160;
        internal const int PartsSumSize = 8;
        internal const int Reserved2Offset = 168;
        internal const int Reserved2Size = 24;
        internal const int QueuePositionOffset = 192;
        internal const int QueuePositionSize = 4;
        internal const int NPromptOffset = 196;
        internal const int NPromptSize = 4;
        internal const int NPromptDoneOffset = 200;
        internal const int NPromptDoneSize = 4;
        internal const int SeedOffset = 204;
        internal const int SeedSize = 4;
        internal const int SubmittedNsOffset = 208;
        internal const int SubmittedNsSize = 8;
        internal const int StartedNsOffset = 216;
        internal const int StartedNsSize = 8;
        internal const int FirstTokenNsOffset = 224;
        internal const int FirstTokenNsSize = 8;
        internal const int EndedNsOffset = 232;
        internal const int EndedNsSize = 8;
        internal const int RequestSumOffset = 240;
        internal const int RequestSumSize = 8;
        internal const int AnswerSumOffset = 248;
        internal const int AnswerSumSize = 8;
        internal const int MessageOffset = 256;
        internal const int MessageSize = 256;

        internal const int Size = 512;
    }

    /// <summary>One token of an answer.</summary>
    internal static class TokenRecord
    {
        internal const int EndOffset = 0;
        internal const int EndSize = 4;
        internal const int IdOffset = 4;
        internal const int IdSize = 4;
        internal const int LogprobOffset = 8;
        internal const int LogprobSize = 4;
        internal const int TimeUsOffset = 12;
        internal const int TimeUsSize = 4;

        internal const int Size = 16;
    }

    /// <summary>A thought, or the call of a tool.</summary>
    internal static class PartRecord
    {
        internal const int KindOffset = 0;
        internal const int KindSize = 4;
        internal const int CallOffset = 4;
        internal const int CallSize = 4;
        internal const int StartOffset = 8;
        internal const int StartSize = 4;
        internal const int PositionOffset = 12;
        internal const int PositionSize = 4;
        internal const int TokenOffset = 16;
        internal const int TokenSize = 4;
        internal const int NIdOffset = 20;
        internal const int NIdSize = 2;
        internal const int NNameOffset = 22;
        internal const int NNameSize = 2;
        internal const int ReservedOffset = 24;
        internal const int ReservedSize = 8;

        internal const int Size = 32;
    }

    /// <summary>The beginning of a request area.</summary>
    internal static class RequestHeader
    {
        internal const int NBytesOffset = 0;
        internal const int NBytesSize = 4;
        internal const int FlagsOffset = 4;
        internal const int FlagsSize = 4;
        internal const int NPredictOffset = 8;
        internal const int NPredictSize = 4;
        internal const int TemperatureOffset = 12;
        internal const int TemperatureSize = 4;
        internal const int MinPOffset = 16;
        internal const int MinPSize = 4;
        internal const int TopPOffset = 20;
        internal const int TopPSize = 4;
        internal const int TopKOffset = 24;
        internal const int TopKSize = 4;
        internal const int RepeatPenaltyOffset = 28;
        internal const int RepeatPenaltySize = 4;
        internal const int FrequencyPenaltyOffset = 32;
        internal const int FrequencyPenaltySize = 4;
        internal const int PresencePenaltyOffset = 36;
        internal const int PresencePenaltySize = 4;
        internal const int RepeatLastNOffset = 40;
        internal const int RepeatLastNSize = 4;
        internal const int PriorityOffset = 44;
        internal const int PrioritySize = 4;
        internal const int SeedOffset = 48;
        internal const int SeedSize = 8;
        internal const int NItemsOffset = 56;
        internal const int NItemsSize = 4;
        internal const int OperationOffset = 60;
        internal const int OperationSize = 4;

        internal const int Size = 64;
    }

    /// <summary>The beginning of an item of a request.</summary>
    internal static class RequestItem
    {
        internal const int KindOffset = 0;
        internal const int KindSize = 4;
        internal const int NBytesOffset = 4;
        internal const int NBytesSize = 4;
        internal const int RoleOffset = 8;
        internal const int RoleSize = 16;

        internal const int Size = 24;
    }
}
