// The examples as programs of their own: what they print, their exit codes, and that their death takes their host
// along.
using System.Diagnostics;
using System.Text;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class ExampleTests
{
    private const int SigInt = 2;

    [HostFact]
    public async Task The_example_shows_both_modes()
    {
        using Surroundings surroundings = new();
        using Process program = Start();
        (string output, string errors) = await ReadAsync(program);
        Assert.Equal("", errors);
        Assert.Equal(0, program.ExitCode);
        Assert.Contains("=== Streaming mode ===\n> What is C++?\n", output, StringComparison.Ordinal);
        Assert.Contains("=== Normal mode ===\n> What is C++?\n", output, StringComparison.Ordinal);
        Assert.Contains("Both modes gave the same answer.", output, StringComparison.Ordinal);
        Assert.Empty(ObjectsOf(surroundings.Name));
    }

    [HostFact]
    public async Task The_example_takes_a_host_and_a_question()
    {
        using Surroundings surroundings = new();
        using Process program = Start(HostPath, "Was ist ein Zeiger? äöü");
        (string output, _) = await ReadAsync(program);
        Assert.Equal(0, program.ExitCode);
        Assert.Contains("> Was ist ein Zeiger? äöü\n", output, StringComparison.Ordinal);
    }

    [LimitedFact]
    public async Task The_example_explains_what_is_wrong()
    {
        using Process program = Start("./no/such/host");
        (_, string errors) = await ReadAsync(program);
        Assert.Equal(1, program.ExitCode);
        Assert.Contains("./no/such/host", errors, StringComparison.Ordinal);
        Assert.Contains("make", errors, StringComparison.Ordinal);

        using Process wrongUsage = Start("1", "2", "3");
        await ReadAsync(wrongUsage);
        Assert.Equal(2, wrongUsage.ExitCode);
    }

    [HostFact]
    public async Task The_interrupt_key_cancels_the_answer_and_cleans_up()
    {
        using Surroundings surroundings = new();
        using LongAnswer longAnswer = new();
        using TemporaryFolder folder = Script(
            "chatbot", $"exec '{HostPath}' \"$@\" {string.Join(' ', longAnswer.Arguments)}", out string path);
        using Process program = Start(path);
        await WaitForPieceOfAnswerAsync(program);
        Signal(program.Id, SigInt);
        (_, string errors) = await ReadAsync(program);
        Assert.Contains("Cancelled.", errors, StringComparison.Ordinal);
        Assert.Equal(130, program.ExitCode);
        Assert.Empty(ObjectsOf(surroundings.Name));
    }

    [HostFact]
    public async Task A_killed_application_takes_its_host_along()
    {
        using Surroundings surroundings = new();
        using TemporaryFolder folder = Script("chatbot", $"exec '{HostPath}' \"$@\" --ignore-eos", out string path);
        using Process program = Start(path);
        await WaitForPieceOfAnswerAsync(program);
        Assert.NotEqual(0, WorkerOf(HostWith(surroundings.Name)));
        Signal(program.Id, SigKill);
        await EventuallyAsync(() => HostsWith(surroundings.Name).Length == 0, "the host has ended");
        await EventuallyAsync(() => ObjectsOf(surroundings.Name).Length == 0, "its objects are gone");
    }

    [HostFact]
    public async Task The_modern_example_holds_a_conversation()
    {
        using Surroundings surroundings = new();
        using Process program = StartProgram("ModernConsole.dll", HostPath, "--temp", "0");
        await program.StandardInput.WriteAsync("What is C++?\n\nWhat is a pointer?\n");
        program.StandardInput.Close();
        (string output, string errors) = await ReadAsync(program);
        Assert.Equal(0, program.ExitCode);
        Assert.Matches(@"^> .+\n> > .+\n> \n$", output);
        Assert.Equal(2, errors.Split("tokens, ").Length - 1);
        Assert.Contains(", process ", errors, StringComparison.Ordinal);
        Assert.Empty(ObjectsOf(surroundings.Name));
    }

    [HostFact]
    public async Task The_interrupt_key_cancels_an_answer_of_the_modern_example_and_then_the_program()
    {
        using Surroundings surroundings = new();
        using TemporaryFolder folder = new();
        string answer = Path.Combine(folder.Path, "answer.txt");
        await File.WriteAllTextAsync(answer, Replay.Words(10_000));
        using Process program = StartProgram("ModernConsole.dll", HostPath, "--replay", answer, "--rate", "100");
        await program.StandardInput.WriteAsync("What is C++?\n");
        char[] beginning = new char["> w0".Length];
        Assert.Equal(beginning.Length, await program.StandardOutput.ReadBlockAsync(beginning));
        Signal(program.Id, SigInt);
        while (await program.StandardError.ReadLineAsync() is string line)
        {
            if (line.StartsWith("[cancelled after ", StringComparison.Ordinal))
            {
                break;
            }
        }
        Assert.False(program.HasExited);
        program.StandardInput.Close();
        await ReadAsync(program);
        Assert.Equal(0, program.ExitCode);
        Assert.Empty(ObjectsOf(surroundings.Name));
    }

    [LimitedFact]
    public async Task The_modern_example_explains_what_is_wrong()
    {
        using Surroundings surroundings = new();
        using Process program = StartProgram("ModernConsole.dll", "./no/such/host");
        (_, string errors) = await ReadAsync(program);
        Assert.Equal(1, program.ExitCode);
        Assert.Contains("./no/such/host", errors, StringComparison.Ordinal);
    }

    private static Process Start(params string[] arguments) => StartProgram("CSharpStreamingExample.dll", arguments);

    private static Process StartProgram(string file, params string[] arguments)
    {
        ProcessStartInfo start = new("dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, file));
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }
        return Process.Start(start)!;
    }

    private static async Task WaitForPieceOfAnswerAsync(Process program)
    {
        while (await program.StandardOutput.ReadLineAsync() is string line)
        {
            if (line.StartsWith('>'))
            {
                char[] piece = new char[1];
                Assert.Equal(1, await program.StandardOutput.ReadAsync(piece));
                return;
            }
        }
        Assert.Fail($"The example ended early: {await program.StandardError.ReadToEndAsync()}");
    }

    private static async Task<(string Output, string Errors)> ReadAsync(Process program)
    {
        Task<string> output = program.StandardOutput.ReadToEndAsync();
        Task<string> errors = program.StandardError.ReadToEndAsync();
        await program.WaitForExitAsync();
        return (await output, await errors);
    }
}
