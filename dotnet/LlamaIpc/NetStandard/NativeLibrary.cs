// Loading a native library from where it was found, on runtimes whose netstandard2.0 has no way to do so.
using System.Reflection;
using System.Runtime.InteropServices;

namespace LlamaIpc.Native;

/// <summary>Finds the library for an import.</summary>
internal delegate IntPtr DllImportResolver(string libraryName, Assembly assembly, DllImportSearchPath? searchPath);

/// <summary>
/// The class of this name where the runtime has it: .NET Core 3 and later. Otherwise, on Windows: the library is loaded
/// before the first import, which then finds it among those that are loaded. Mono, elsewhere, looks for itself: beside
/// the assembly, and where the system looks. So does Unity, in the project's plug-ins.
/// </summary>
internal static class NativeLibrary
{
    private static readonly Type? OfRuntime =
        Type.GetType("System.Runtime.InteropServices.NativeLibrary, System.Runtime.InteropServices", throwOnError: false);

    private delegate bool TryLoadByName(string name, Assembly assembly, DllImportSearchPath? searchPath, out IntPtr library);

    internal static void SetDllImportResolver(Assembly assembly, DllImportResolver resolver)
    {
        if (OfRuntime is not null)
        {
            Type type = OfRuntime.Assembly.GetType("System.Runtime.InteropServices.DllImportResolver", throwOnError: true)!;
            Delegate wrapped = Delegate.CreateDelegate(type, resolver.Target, resolver.Method);
            OfRuntime.GetMethod(nameof(SetDllImportResolver))!.Invoke(null, [assembly, wrapped]);
        }
        else if (OperatingSystem.IsWindows())
        {
            try
            {
                resolver(NativeMethods.Library, assembly, null);
            }
            catch (DllNotFoundException)
            {
                // The import looks by itself, and says so if it finds none.
            }
        }
    }

    internal static IntPtr Load(string path)
    {
        if (OfRuntime?.GetMethod(nameof(Load), [typeof(string)]) is MethodInfo load)
        {
            return ((Func<string, IntPtr>)load.CreateDelegate(typeof(Func<string, IntPtr>)))(path);
        }
        IntPtr library = LoadLibrary(path);
        return library != IntPtr.Zero
            ? library
            : throw new DllNotFoundException($"'{path}' cannot be loaded: error {Marshal.GetLastWin32Error()} of Windows.");
    }

    internal static bool TryLoad(string name, Assembly assembly, DllImportSearchPath? searchPath, out IntPtr library)
    {
        Type[] parameters = [typeof(string), typeof(Assembly), typeof(DllImportSearchPath?), typeof(IntPtr).MakeByRefType()];
        if (OfRuntime?.GetMethod(nameof(TryLoad), parameters) is MethodInfo tryLoad)
        {
            return ((TryLoadByName)tryLoad.CreateDelegate(typeof(TryLoadByName)))(name, assembly, searchPath, out library);
        }
        library = LoadLibrary(name);
        return library != IntPtr.Zero;
    }

    [DllImport("kernel32", EntryPoint = "LoadLibraryW", CharSet = CharSet.Unicode, SetLastError = true)]
    private static extern IntPtr LoadLibrary(string name);
}
