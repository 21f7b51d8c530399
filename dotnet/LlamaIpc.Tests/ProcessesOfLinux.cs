// The system's part of what the tests share: a look at processes and objects, signals.
using System.Runtime.InteropServices;
using Xunit;

namespace LlamaIpc.Tests;

internal static partial class TestEnvironment
{
    internal const int SigKill = 9;
    private const int SigCont = 18;
    private const int SigStop = 19;

    /// <summary>Whether a process lives; one that has ended and waits for its parent does not.</summary>
    internal static bool IsAlive(int processId)
    {
        try
        {
            string status = File.ReadAllText($"/proc/{processId}/stat");
            return status[status.LastIndexOf(')') + 2] != 'Z';
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>The process in which a host runs the model, its child; 0 while it has none.</summary>
    internal static int WorkerOf(int host) =>
        int.TryParse(ReadOrEmpty($"/proc/{host}/task/{host}/children").Split(' ')[0], out int worker) ? worker : 0;

    /// <summary>Stops all of a host: first the process that would replace its worker.</summary>
    internal static void Pause(int host)
    {
        Signal(host, SigStop);
        Signal(WorkerOf(host), SigStop);
    }

    internal static void Resume(int host)
    {
        Signal(WorkerOf(host), SigCont);
        Signal(host, SigCont);
    }

    /// <summary>The one live host whose arguments contain a text.</summary>
    internal static int HostWith(string text)
    {
        int[] processes = HostsWith(text);
        return processes.Except(processes.Select(WorkerOf)).Single();
    }

    /// <summary>The live processes, hosts and their workers, whose arguments contain a text.</summary>
    internal static int[] HostsWith(string text) =>
        [.. Directory.GetDirectories("/proc")
            .Select(folder => int.TryParse(Path.GetFileName(folder), out int id) ? id : 0)
            .Where(id => id != 0 && CommandLine(id).Contains(text, StringComparison.Ordinal) && IsAlive(id))];

    internal static string[] ObjectsOf(string name) =>
        [.. Directory.GetFiles("/dev/shm").Where(path => path.Contains(name, StringComparison.Ordinal)).Order()];

    /// <summary>
    /// What this process has open of the kinds that a client opens: pipes, shared memory, watches, processes.
    /// </summary>
    internal static string[] OpenFiles() =>
        [.. Directory.GetFiles("/proc/self/fd")
            .Select(LinkTarget)
            .Where(name => name.StartsWith("pipe:", StringComparison.Ordinal)
                || name.Contains("inotify", StringComparison.Ordinal)
                || name.Contains("pidfd", StringComparison.Ordinal)
                || name.Contains("_shared_mem", StringComparison.Ordinal)
                || name.Contains("_sem_", StringComparison.Ordinal))];

    /// <summary>The threads of this process that wait in the native library.</summary>
    internal static int WaiterThreads() =>
        Directory.GetDirectories("/proc/self/task")
            .Count(folder => ReadOrEmpty(folder + "/comm") == "LlamaIpc waiter\n");

    /// <summary>Sends a signal, by its number on Linux.</summary>
    internal static void Signal(int processId, int signal)
    {
        Assert.True(processId > 0, $"{processId} is not the id of one process");
        Assert.Equal(0, Kill(processId, signal));
    }

    /// <summary>A shell script in a folder of its own, which the returned object removes.</summary>
    internal static TemporaryFolder Script(string name, string text, out string path)
    {
        TemporaryFolder folder = new();
        path = Path.Combine(folder.Path, name);
        File.WriteAllText(path, "#!/bin/sh\n" + text + "\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return folder;
    }

    private static string LinkTarget(string link)
    {
        try
        {
            return File.ResolveLinkTarget(link, returnFinalTarget: false)?.Name ?? "";
        }
        catch (IOException)
        {
            return ""; // closed meanwhile
        }
    }

    private static string CommandLine(int processId) => ReadOrEmpty($"/proc/{processId}/cmdline");

    private static string ReadOrEmpty(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    /// <summary>Hosts that a test kills leave their objects for the next of the same name; the last one's go here.</summary>
    private static void SweepUp()
    {
        foreach (string path in ObjectsOf(NamePrefix))
        {
            File.Delete(path);
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int processId, int signal);
}
