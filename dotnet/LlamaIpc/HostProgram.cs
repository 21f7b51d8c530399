// Where the host program is.
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>
/// Finds the host program: a path with a folder in it relative to the current folder; a bare name where the packages put
/// the host, in the application's folder, in the build folder of a checkout of this project, in the current folder and in
/// PATH.
/// </summary>
internal static class HostProgram
{
    /// <summary>The folder beside an application that the packages put hosts into, one for each system.</summary>
    private const string PackageFolder = "LlamaIpc.Host";

    /// <summary>Left by a build that references the project: where its checkout's build folder is.</summary>
    private const string CheckoutNote = "LlamaIpc.Host/checkout.txt";

    /// <summary>The full path of the program.</summary>
    /// <exception cref="HostProgramNotFoundException">There is no such program.</exception>
    internal static string Find(string path) => TryFind(path) ?? throw NotFound(path);

    /// <summary>The full path of the program; null if there is none.</summary>
    internal static string? TryFind(string path)
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

    /// <summary>Says where it was looked for.</summary>
    internal static HostProgramNotFoundException NotFound(string path) => new(
        $"The host program '{path}' was not found. Looked in: {string.Join(", ", FoldersFor(path))}. "
        + "Add the package LlamaIpc.Host to the application, or give the program's path.");

    private static IEnumerable<string> FoldersFor(string path)
    {
        if (Path.GetFileName(path) != path)
        {
            return [Environment.CurrentDirectory];
        }
        List<string> folders = [];
        foreach (string application in NativeLibraryResolver.ApplicationFolders())
        {
            folders.Add(Path.Combine(application, PackageFolder, NativeLibraryResolver.RuntimeIdentifier(), "bin"));
            folders.Add(application);
            if (CheckoutBuild(application) is string build)
            {
                folders.Add(build);
            }
        }
        folders.Add(Environment.CurrentDirectory);
        folders.AddRange((Environment.GetEnvironmentVariable("PATH") ?? "").Split(
            Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries));
        return folders.Distinct();
    }

    private static string? CheckoutBuild(string application)
    {
        string note = Path.Combine(application, CheckoutNote);
        return File.Exists(note) ? File.ReadAllText(note).Trim()
            : NativeLibraryResolver.CheckoutOf(application) is string checkout ? Path.Combine(checkout, "build")
            : null;
    }
}
