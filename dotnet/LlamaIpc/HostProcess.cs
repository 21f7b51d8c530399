// A host that this client started: its process, what it prints, and its end.
using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using LlamaIpc.Native;

namespace LlamaIpc;

/// <summary>The process of a host that this client started. All members may be used from any thread.</summary>
internal sealed class HostProcess
{
    private const int LastLinesWaitMs = 500;
    private const int TerminateWaitMs = 500;
    private const int KillWaitMs = 2000;
    private const int SigTerm = 15;

    private readonly Process process;
    private readonly LineTail output;
    private readonly LineTail errors;
    private readonly CancellationTokenSource exited = new();
    private readonly ManualResetEventSlim exitedEvent = new();
    private int exitCode;

    private HostProcess(Process process)
    {
        this.process = process;
        Id = process.Id;
        output = new LineTail(process.StandardOutput, "LlamaIpc host output");
        errors = new LineTail(process.StandardError, "LlamaIpc host errors");
        new Thread(WatchForExit, maxStackSize: 256 * 1024) { IsBackground = true, Name = "LlamaIpc host exit" }.Start();
    }

    internal int Id { get; }

    internal IReadOnlyList<string> OutputLines => output.Lines;

    internal IReadOnlyList<string> ErrorLines => errors.Lines;

    /// <summary>Cancelled when the host has ended; its exit code and last lines are there by then.</summary>
    internal CancellationToken Exited => exited.Token;

    /// <summary>The exit code, once the host has ended.</summary>
    internal int? ExitCode => exitedEvent.IsSet ? exitCode : null;

    /// <summary>
    /// True once this process has been seen to own the name: only then may the name be used to end it. Until then
    /// another host may answer to the name.
    /// </summary>
    internal bool OwnsName { get; set; }

    /// <summary>Starts the host program.</summary>
    /// <exception cref="HostStartException">There is no such program, or the system refuses to run it.</exception>
    internal static HostProcess Start(LlamaCppClientOptions options, string name)
    {
        string executable = HostProgram.Find(options.ExecutablePath);
        ProcessStartInfo start = new(executable)
        {
            UseShellExecute = false,
            CreateNoWindow = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
            WorkingDirectory = options.WorkingDirectory ?? "",
        };
        foreach (string argument in Arguments(options, name))
        {
            start.ArgumentList.Add(argument);
        }

        // This process could be gone before the host asks for its parent: then the host sees another one.
        start.Environment["LIPC_PARENT_PID"] = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);

        try
        {
            return new HostProcess(Process.Start(start)
                ?? throw new InvalidOperationException("The system started no process."));
        }
        catch (Win32Exception e)
        {
            throw new HostStartException(
                LipcError.System, $"The host program '{executable}' could not be started: {e.Message}.", inner: e);
        }
    }

    internal bool WaitForExit(int timeoutMs) => exitedEvent.Wait(timeoutMs);

    /// <summary>
    /// Ends the host: first asks it, so that it removes its objects, and kills it if it does not obey. Returns when it
    /// is gone, after five seconds at the very most.
    /// </summary>
    internal void Stop(string name, int graceMs)
    {
        if (exitedEvent.IsSet)
        {
            return;
        }
        Deadline grace = Deadline.In(TimeSpan.FromMilliseconds(graceMs));
        Ask(name, graceMs);
        if (WaitForExit(grace.RemainingMs))
        {
            return;
        }

        // Two signals: the first would let an answer finish, the second ends a host at once, its objects removed.
        Terminate();
        Terminate();
        if (WaitForExit(TerminateWaitMs))
        {
            return;
        }
        try
        {
            process.Kill();
        }
        catch (Exception e) when (e is InvalidOperationException or Win32Exception)
        {
            // It ended just now.
        }
        WaitForExit(KillWaitMs);
    }

    /// <summary>Asks the host to end without waiting for it. Safe in a finalizer.</summary>
    internal void Terminate()
    {
        if (exitedEvent.IsSet)
        {
            return;
        }
        if (!OperatingSystem.IsWindows())
        {
            _ = Kill(Id, SigTerm);
        }
        else if (EventWaitHandle.TryOpenExisting($@"Local\lipc_stop.{Id}", out EventWaitHandle? asked))
        {
            asked.Set(); // There are no signals; each host waits for this event.
            asked.Dispose();
        }
    }

    private void Ask(string name, int graceMs)
    {
        if (OwnsName)
        {
            // A handle of its own: the client's may be waiting in a request, and stays usable.
            using LipcClassicHandle handle = LipcClassicHandle.Open(name);
            _ = NativeMethods.ClassicShutdown(handle, graceMs);
        }
        else
        {
            Terminate();
        }
    }

    private void WatchForExit()
    {
        process.WaitForExit();
        exitCode = process.ExitCode;

        // A process of the host's own could still hold its end of the pipes, so the wait has a limit.
        errors.WaitForEnd(LastLinesWaitMs);
        output.WaitForEnd(LastLinesWaitMs);
        process.Dispose();
        exitedEvent.Set();
        exited.Cancel();
    }

    private static IEnumerable<string> Arguments(LlamaCppClientOptions options, string name)
    {
        yield return "--name";
        yield return name;
        yield return "--exit-with-parent";
        if (options.ModelPath != null)
        {
            yield return "--model";
            yield return options.ModelPath;
        }
        foreach (string argument in options.ExtraArguments)
        {
            yield return argument;
        }
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int processId, int signal);
}
