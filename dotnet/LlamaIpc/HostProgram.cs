// Where the host program is.
namespace LlamaIpc;

/// <summary>
/// Finds the host program: a path with a folder in it relative to the current folder; a bare name in the application's
/// folder, the current folder and PATH.
/// </summary>
internal static class HostProgram
{
    /// <summary>The full path of the program.</summary>
    /// <exception cref="HostStartException">There is no such program.</exception>
    internal static string Find(string path) =>
        TryFind(path) ?? throw new HostStartException(
            LipcError.System,
            $"The host program '{path}' was not found. Looked in: {string.Join(", ", FoldersFor(path))}. "
            + "Build it first, or give its path.");

    /// <summary>The full path of the program; the path as it is if there is none.</summary>
    internal static string FindOrKeep(string path) => TryFind(path) ?? path;

    private static string? TryFind(string path)
    {
        string[] endings = OperatingSystem.IsWindows() && !Path.HasExtension(path) ? [".exe", ""] : [""];
        foreach (string folder in FoldersFor(path))
        {
            foreach (string ending in endings)
            {
                string candidate = Path.GetFullPath(path + ending, Path.GetFullPath(folder));
                if (File.Exists(candidate))
                {
                    return candidate;
                }
            }
        }
        return null;
    }

    private static string[] FoldersFor(string path) =>
        Path.GetFileName(path) == path
            ? [AppContext.BaseDirectory, Environment.CurrentDirectory, .. SearchPath()]
            : [Environment.CurrentDirectory];

    private static string[] SearchPath() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(
            Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
}
