// Runs the tests of this program, in this process: there is no SDK for Windows here whose runner could. Arguments, if there are
// any, are parts of the names of those to run.
using System.Reflection;
using Xunit;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace LlamaIpc.Tests;

internal static class Runner
{
    /// <summary>Those that look at Linux, and what at.</summary>
    private static readonly Dictionary<string, string> LeftOut = new()
    {
        ["RequestTests.The_objects_have_the_names_of_the_guide_and_go_with_the_host"] = "names in /dev/shm; guide_client has those here",
        ["StreamTests.Looking_once_for_each_frame_reads_everything"] = "counts threads in /proc",
        ["WindowTests.The_window_of_the_guide_itself_runs_once_its_question_is_read_on_its_own_thread"] =
            "its host is a symbolic link, which finds no DLL; guide_windows has real windows",
        ["ClientTests.Connecting_can_be_cancelled_and_leaves_nothing"] = "its host is a shell script",
        ["ClientTests.What_a_progress_handler_throws_comes_out_and_leaves_no_host"] = "looks for hosts in /proc",
        ["ClientTests.A_forgotten_client_leaves_no_host_and_no_thread"] = "looks for hosts and threads in /proc",
        ["ClientTests.A_detached_host_stays_until_it_is_told_to_end"] = "here a name stays as long as its clients have it open",
        ["ClientTests.Many_clients_one_after_the_other_leave_nothing_behind"] = "counts descriptors in /proc",
    };

    private static int Main(string[] args)
    {
        AssemblyName name = Assembly.GetExecutingAssembly().GetName();
        using XunitTestFramework framework = new(new Listener());
        using Listener listener = new();
        ITestFrameworkDiscoverer discoverer = framework.GetDiscoverer(Reflector.Wrap(Assembly.GetExecutingAssembly()));
        discoverer.Find(includeSourceInformation: false, listener, new Options());
        listener.Over.WaitOne();
        List<ITestCase> chosen = [.. listener.Cases.Where(test => IsChosen(test, args))];
        using Listener results = new();
        using ITestFrameworkExecutor executor = framework.GetExecutor(name);
        executor.RunTests(chosen, results, new Options());
        results.Over.WaitOne();
        foreach ((string test, string reason) in LeftOut)
        {
            Console.WriteLine($"skipped: {test}: {reason}");
        }
        Console.WriteLine($"{results.Passed} passed, {results.Failed} failed, {results.Skipped} skipped");
        return results.Failed == 0 && results.Passed > 0 ? 0 : 1;
    }

    private static bool IsChosen(ITestCase test, string[] args) =>
        !LeftOut.Keys.Any(name => test.DisplayName.Contains(name, StringComparison.Ordinal))
        && (args.Length == 0 || args.Any(part => test.DisplayName.Contains(part, StringComparison.Ordinal)));

    /// <summary>Says what fails at once, and keeps the count.</summary>
    private sealed class Listener : LongLivedMarshalByRefObject, IMessageSink, IDisposable
    {
        internal List<ITestCase> Cases { get; } = [];

        internal ManualResetEvent Over { get; } = new(initialState: false);

        internal int Passed { get; private set; }

        internal int Failed { get; private set; }

        internal int Skipped { get; private set; }

        public bool OnMessage(IMessageSinkMessage message)
        {
            switch (message)
            {
                case ITestCaseDiscoveryMessage discovered:
                    Cases.Add(discovered.TestCase);
                    break;
                case ITestStarting starting:
                    Console.WriteLine($"{DateTime.Now:HH:mm:ss} {starting.Test.DisplayName}");
                    break;
                case ITestPassed:
                    Passed++;
                    break;
                case ITestSkipped skipped:
                    Skipped++;
                    Console.WriteLine($"skipped: {skipped.Test.DisplayName}: {skipped.Reason}");
                    break;
                case ITestFailed failed:
                    Failed++;
                    Console.WriteLine($"FAILED {failed.Test.DisplayName}");
                    Say(failed);
                    break;
                case IErrorMessage error:
                    Failed++;
                    Say(error);
                    break;
                case IDiscoveryCompleteMessage or ITestAssemblyFinished:
                    Over.Set();
                    break;
            }
            return true;
        }

        public void Dispose() => Over.Dispose();

        private static void Say(IFailureInformation failure) =>
            Console.WriteLine($"  {string.Join("\n  ", failure.Messages)}\n{string.Join("\n", failure.StackTraces)}");
    }

    /// <summary>All of them as xUnit has them by default.</summary>
    private sealed class Options : ITestFrameworkDiscoveryOptions, ITestFrameworkExecutionOptions
    {
        private readonly Dictionary<string, object?> values = [];

        public TValue GetValue<TValue>(string name) => values.TryGetValue(name, out object? value) ? (TValue)value! : default!;

        public void SetValue<TValue>(string name, TValue value) => values[name] = value;
    }
}
