// The assemblies for netstandard2.0, in an example of their own: on .NET, and on Mono, whose runtime and class library are much
// like those of the .NET Framework.
using System.Diagnostics;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class NetStandardTests
{
    [HostFact]
    public async Task A_program_on_dotnet_asks_streams_and_stops()
    {
        using Surroundings surroundings = new();
        await RunAsync("dotnet", Path.Combine(Example("net10.0"), "FrameworkConsole.dll"), ".NET ");
        Assert.Empty(ObjectsOf(surroundings.Name));
    }

    [MonoFact]
    public async Task A_program_of_the_framework_does_the_same_on_Mono()
    {
        using Surroundings surroundings = new();
        using TemporaryFolder folder = new();
        foreach (string file in Directory.GetFiles(Example("net472")))
        {
            File.Copy(file, Path.Combine(folder.Path, Path.GetFileName(file)));
        }
        // Mono looks beside the program.
        File.Copy(Path.Combine(Root, "build", "liblipc.so"), Path.Combine(folder.Path, "liblipc.so"));
        await RunAsync("mono", Path.Combine(folder.Path, "FrameworkConsole.exe"), "Mono ");
        Assert.Empty(ObjectsOf(surroundings.Name));
    }

    [LimitedFact]
    public async Task The_programs_of_the_framework_have_the_assemblies_for_it()
    {
        foreach (Type type in (Type[])[typeof(LlamaClient), typeof(LlamaChatClient)])
        {
            string name = type.Assembly.GetName().Name + ".dll";
            byte[] library = await File.ReadAllBytesAsync(Path.Combine(Example("net10.0"), name));
            Assert.Equal(library, await File.ReadAllBytesAsync(Path.Combine(Example("net462"), name)));
            Assert.Equal(library, await File.ReadAllBytesAsync(Path.Combine(Example("net472"), name)));
            Assert.NotEqual(library, await File.ReadAllBytesAsync(type.Assembly.Location));
        }
    }

    [LimitedFact]
    public async Task Arguments_arrive_as_they_are()
    {
        string[] arguments =
        [
            "plain", "", "two words", "it's", "\"", "\\", "\\\\", "\\\"", "a\\b\\\\c\\", "$HOME", "\\$HOME", "`pwd`", "\\`", "$(pwd)",
            "\\n", "line\nline", "äЖ€🎉", "{\"a\": \"b\\\\c\"}", "'\\''", "!*?~#&;|<>",
        ];
        string expected = string.Concat(arguments.Select(argument => argument + "."));

        // What .NET does with one string, and a shell; Mono does on Unix as the latter.
        ProcessStartInfo windows = new("printf");
        ArgumentList list = new(windows);
        foreach (string argument in (string[])["%s.", .. arguments])
        {
            list.Add(argument);
        }
        Assert.Equal(expected, await OutputAsync(windows));
        string line = string.Join(' ', arguments.Select(ArgumentList.QuotedForShell));
        Assert.Equal(expected, await OutputAsync(new ProcessStartInfo("/bin/sh", ["-c", "printf %s. " + line])));
    }

    private static async Task<string> OutputAsync(ProcessStartInfo start)
    {
        start.RedirectStandardOutput = true;
        using Process process = Process.Start(start)!;
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal(0, process.ExitCode);
        return output;
    }

    private static async Task RunAsync(string runtime, string program, string runtimeName)
    {
        using Process process = Process.Start(new ProcessStartInfo(runtime, [program, HostPath])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal("", await errors);
        Assert.Equal(0, process.ExitCode);

        string[] lines = output.TrimEnd('\n').Split('\n');
        Assert.Equal(6, lines.Length);
        Assert.StartsWith(runtimeName, lines[0], StringComparison.Ordinal);
        Assert.StartsWith("C++ is", lines[1], StringComparison.Ordinal);
        Assert.StartsWith("Ready: ", lines[2], StringComparison.Ordinal);
        Assert.Equal(lines[1], lines[3]);
        Assert.Equal(lines[1], lines[4]);
        Assert.Equal("Stopped.", lines[5]);
    }

    private static string Example(string framework) => Path.GetFullPath(
        Path.Combine(AppContext.BaseDirectory, "..", "..", "FrameworkConsole", "release_" + framework));

    /// <summary>A test that needs Mono, with the assemblies that stand for those of .NET.</summary>
    private sealed class MonoFactAttribute : FactAttribute
    {
        public MonoFactAttribute()
        {
            Timeout = LimitMs;
            string[] folders = [.. (Environment.GetEnvironmentVariable("MONO_PATH") ?? "").Split(':'), "/usr/lib/mono/4.5/Facades"];
            if (!File.Exists("/usr/bin/mono") || !folders.Any(folder => File.Exists(Path.Combine(folder, "netstandard.dll"))))
            {
                Skip = "There is no Mono with its class libraries (Debian: mono-devel).";
            }
            else
            {
                Skip = new HostFactAttribute().Skip;
            }
        }
    }
}
