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

    internal const int ClassicMapSize = 45000;
    internal const int ClassicRegionSize = 45056;
    internal const int SegmentSize = 45056;

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

        internal const int Size = 40972;
    }
}
