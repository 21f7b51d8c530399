// Finds the file of liblipc.
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.InteropServices;

namespace LlamaIpc.Native;

/// <summary>
/// Looks for liblipc where it may lie, most deliberate place first: the file that LIPC_LIBRARY names; the application's
/// folder and its runtimes/&lt;rid&gt;/native; inside a checkout of this project its build folder; then wherever the
/// system looks.
/// </summary>
internal static class NativeLibraryResolver
{
    internal const string EnvironmentVariable = "LIPC_LIBRARY";

    /// <summary>Called once, before the first native call.</summary>
    internal static void Register() =>
        NativeLibrary.SetDllImportResolver(typeof(NativeLibraryResolver).Assembly, Resolve);

    /// <summary>The files that are tried, in this order, when LIPC_LIBRARY is not set.</summary>
    internal static IEnumerable<string> Candidates()
    {
        string file = FileName();
        foreach (string folder in ApplicationFolders())
        {
            yield return Path.Combine(folder, file);
            yield return Path.Combine(folder, "runtimes", RuntimeIdentifier(), "native", file);
        }
        foreach (string folder in ApplicationFolders())
        {
            if (CheckoutOf(folder) is string checkout)
            {
                yield return Path.Combine(checkout, "build", file);
            }
        }
    }

    private static IntPtr Resolve(string libraryName, Assembly assembly, DllImportSearchPath? searchPath) =>
        libraryName == NativeMethods.Library ? Load(assembly, searchPath) : IntPtr.Zero;

    /// <summary>Loads the library. Throws if it is nowhere, saying where it was looked for.</summary>
    internal static IntPtr Load(Assembly assembly, DllImportSearchPath? searchPath)
    {
        string? chosen = Environment.GetEnvironmentVariable(EnvironmentVariable);
        if (!string.IsNullOrEmpty(chosen))
        {
            // A deliberate choice that fails is an error, not a reason to take another file.
            return NativeLibrary.Load(chosen);
        }

        foreach (string candidate in Candidates())
        {
            if (File.Exists(candidate))
            {
                return NativeLibrary.Load(candidate);
            }
        }
        if (NativeLibrary.TryLoad(NativeMethods.Library, assembly, searchPath, out IntPtr handle))
        {
            return handle;
        }
        throw new DllNotFoundException(
            $"{FileName()} was not found. Set {EnvironmentVariable} to its path, or put it into one of: "
            + string.Join(", ", Candidates().Select(Path.GetDirectoryName).Distinct()) + ".");
    }

    private static string FileName() =>
        OperatingSystem.IsWindows() ? "lipc.dll" : OperatingSystem.IsMacOS() ? "liblipc.dylib" : "liblipc.so";

    /// <summary>What the packages call the system that this process runs on.</summary>
    internal static string RuntimeIdentifier()
    {
        string system = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux";
        return $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
    }

    /// <summary>The folders that an application's files lie in.</summary>
    [UnconditionalSuppressMessage(
        "SingleFile", "IL3000", Justification = "In a single file the path is empty, and then it is not used.")]
    internal static IEnumerable<string> ApplicationFolders()
    {
        string application = AppContext.BaseDirectory;
        yield return application;

        // Differs from the application's folder where a plug-in loads the library from its own.
        string? library = Path.GetDirectoryName(typeof(NativeLibraryResolver).Assembly.Location);
        if (!string.IsNullOrEmpty(library) && Path.GetFullPath(library + "/") != Path.GetFullPath(application + "/"))
        {
            yield return library;
        }
    }

    /// <summary>
    /// The checkout of this project that a folder lies in. Its header tells it from any other "build" folder.
    /// </summary>
    internal static string? CheckoutOf(string folder)
    {
        for (DirectoryInfo? at = new(folder); at != null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "include", "lipc", "lipc.h")))
            {
                return at.FullName;
            }
        }
        return null;
    }
}
