// What the host's exit codes mean. The table is that of `chatbot --help`.
namespace LlamaIpc;

/// <summary>The meaning of the host program's exit codes.</summary>
public static class HostExitCode
{
    /// <summary>The exit code of a host that cannot read its model.</summary>
    internal const int ModelMissing = 3;

    /// <summary>
    /// One short sentence part for an exit code of the host, for instance "the model file is missing or unreadable".
    /// </summary>
    /// <param name="exitCode">The exit code; 128 + n means that signal n ended the host.</param>
    /// <returns>The meaning; never empty.</returns>
    public static string Describe(int exitCode) => exitCode switch
    {
        0 => "it ended as asked",
        1 => "an unexpected failure",
        2 => "a wrong option or value on its command line",
        ModelMissing => "the model file is missing or unreadable",
        4 => "the model file is damaged or not a model",
        5 => "the context does not fit into memory",
        6 => "the shared memory is full, read-only or not available",
        7 => "a running host owns the name",
        8 => "the name belongs to another user",
        128 + 9 => "it was killed: signal 9, SIGKILL",
        128 + 11 => "it crashed: signal 11, SIGSEGV",
        128 + 6 => "it crashed: signal 6, SIGABRT",
        128 + 7 => "it crashed: signal 7, SIGBUS",
        128 + 15 => "it was ended by signal 15, SIGTERM",
        > 128 and <= 128 + 64 => $"it was ended by signal {exitCode - 128}",
        _ => "not an exit code of the host",
    };
}
