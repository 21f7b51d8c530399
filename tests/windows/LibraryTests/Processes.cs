// Windows' part of what the library's tests share: a look at processes and objects, and what stands for signals.
using System.ComponentModel;
using System.Diagnostics;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Xunit;

namespace LlamaIpc.Tests;

internal static partial class TestEnvironment
{
    internal const int SigKill = 9;

    /// <summary>Whether a process lives.</summary>
    internal static bool IsAlive(int processId)
    {
        try
        {
            using Process process = Process.GetProcessById(processId);
            return !process.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    /// <summary>The process in which a host runs the model, its child; 0 while it has none.</summary>
    internal static int WorkerOf(int host)
    {
        ProcessEntry entry = new() { Size = Marshal.SizeOf<ProcessEntry>() };
        nint snapshot = CreateToolhelp32Snapshot(SnapProcess, 0);
        try
        {
            int worker = 0;
            for (bool isThere = Process32First(snapshot, ref entry); isThere; isThere = Process32Next(snapshot, ref entry))
            {
                worker = entry.ParentId == host && IsAlive(entry.Id) ? entry.Id : worker;
            }
            return worker;
        }
        finally
        {
            CloseHandle(snapshot);
        }
    }

    /// <summary>Stops all of a host: first the process that would replace its worker.</summary>
    internal static void Pause(int host)
    {
        Apply(NtSuspendProcess, host);
        Apply(NtSuspendProcess, WorkerOf(host));
    }

    internal static void Resume(int host)
    {
        Apply(NtResumeProcess, WorkerOf(host));
        Apply(NtResumeProcess, host);
    }

    /// <summary>The segment of a host, if it has one.</summary>
    internal static string[] ObjectsOf(string name)
    {
        try
        {
            using MemoryMappedFile segment = MemoryMappedFile.OpenExisting(
                $"Local\\{name}_shared_mem", MemoryMappedFileRights.Read);
            return [name];
        }
        catch (FileNotFoundException)
        {
            return [];
        }
    }

    /// <summary>Only the signal that kills has a counterpart. Who has ended already cannot be killed again.</summary>
    internal static void Signal(int processId, int signal)
    {
        Assert.Equal(SigKill, signal);
        try
        {
            using Process process = Process.GetProcessById(processId);
            Assert.True(TerminateProcess(process.Handle, KilledCode) || process.HasExited);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            // There is no such process any more.
        }
    }

    // The tests that use these are left out (Runner.cs).
    internal static int WaiterThreads() => throw new NotSupportedException();

    internal static string[] OpenFiles() => throw new NotSupportedException();

    internal static int[] HostsWith(string text) => throw new NotSupportedException(text);

    internal static TemporaryFolder Script(string name, string text, out string path) => throw new NotSupportedException(name + text);

    /// <summary>Names go with the last one who uses them.</summary>
    private static void SweepUp()
    {
    }

    private static void Apply(Func<nint, int> function, int processId)
    {
        using Process process = Process.GetProcessById(processId);
        int status = function(process.Handle);
        if (status < 0)
        {
            throw new Win32Exception($"process {processId}: status {status:x}");
        }
    }

    private const uint SnapProcess = 2;

    /// <summary>What a shell on Linux shows of that signal, and our programs here of whom they kill.</summary>
    private const uint KilledCode = 137;

    [StructLayout(LayoutKind.Sequential, CharSet = CharSet.Unicode)]
    private struct ProcessEntry
    {
        internal int Size;
        internal int Usage;
        internal int Id;
        internal nuint Heap;
        internal int Module;
        internal int ThreadCount;
        internal int ParentId;
        internal int Priority;
        internal int Flags;
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 260)]
        internal string Program;
    }

    [DllImport("kernel32")]
    private static extern nint CreateToolhelp32Snapshot(uint flags, int processId);

    [DllImport("kernel32", EntryPoint = "Process32FirstW", CharSet = CharSet.Unicode)]
    private static extern bool Process32First(nint snapshot, ref ProcessEntry entry);

    [DllImport("kernel32", EntryPoint = "Process32NextW", CharSet = CharSet.Unicode)]
    private static extern bool Process32Next(nint snapshot, ref ProcessEntry entry);

    [DllImport("kernel32")]
    private static extern bool CloseHandle(nint handle);

    [DllImport("kernel32")]
    private static extern bool TerminateProcess(nint process, uint exitCode);

    [DllImport("ntdll")]
    private static extern int NtSuspendProcess(nint process);

    [DllImport("ntdll")]
    private static extern int NtResumeProcess(nint process);
}
