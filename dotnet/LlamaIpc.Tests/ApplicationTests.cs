// The example applications as programs of their own: the chat in a terminal, the one in a browser, and those that call a
// function of theirs.
using System.Diagnostics;
using System.Net.Http.Json;
using System.Text;
using LlamaIpc.Testing;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public class ApplicationTests
{
    [HostFact]
    public async Task The_chat_in_a_terminal_answers_and_ends_with_an_empty_line()
    {
        using Surroundings surroundings = new();
        using Process program = Start("SpectreChat");
        await program.StandardInput.WriteAsync("What is C++?\nWhat is a pointer?\n\n");
        program.StandardInput.Close();
        string output = await program.StandardOutput.ReadToEndAsync();
        await program.WaitForExitAsync();
        Assert.Equal(0, program.ExitCode);
        Assert.Equal(2, output.Split("tokens, ").Length - 1);
        Assert.Empty(ObjectsOf(surroundings.Name));
    }

    [HostFact]
    public async Task The_web_application_relays_an_answer_as_events()
    {
        using Surroundings surroundings = new();
        await using WebApplication web = await WebApplication.StartAsync(surroundings.Name);
        Assert.Contains("<button id=\"stop\"", await web.Http.GetStringAsync("/"), StringComparison.Ordinal);
        (string text, string last) = await ReadAnswerAsync(web, CancellationToken.None);
        Assert.StartsWith("C++ is", text, StringComparison.Ordinal);
        Assert.Equal("stop", last);
        Assert.Equal("Healthy", await web.Http.GetStringAsync("/health"));
    }

    [HostFact]
    public async Task A_browser_that_stops_stops_the_model()
    {
        using Surroundings surroundings = new();
        await using WebApplication web = await WebApplication.StartAsync(
            surroundings.Name, "--Llama:HostArguments:0=--ignore-eos", "--Llama:HostArguments:1=--context-shift");
        using CancellationTokenSource stop = new();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ReadAnswerAsync(web, stop.Token, stop.Cancel));
        await using LlamaClient client = await LlamaClient.ConnectAsync(
            new LlamaClientOptions { InstanceName = surroundings.Name, Start = HostStart.Never });
        await EventuallyAsync(() => client.Status is { Running: 0, Queued: 0 }, "the host works on nothing");
    }

    [BrowserFact]
    public async Task The_page_shows_an_answer_in_a_browser_and_its_button_stops_one()
    {
        using Surroundings surroundings = new();
        using TemporaryFolder folder = new();
        string script = Path.Combine(folder.Path, "script.txt");
        await File.WriteAllTextAsync(script, new ReplayScript()
            .Answer().Text("One moment. <b>Here</b> it is.")
            .Answer().Text(Replay.Words(10_000)).ToString());
        await using WebApplication web = await WebApplication.StartAsync(
            surroundings.Name, "--Llama:HostArguments:0=--replay", $"--Llama:HostArguments:1={script}",
            "--Llama:HostArguments:2=--rate", "--Llama:HostArguments:3=100");
        await using Browser page = await Browser.OpenAsync(web.Http.BaseAddress!);
        await page.WaitForAsync("document.readyState === 'complete' && document.getElementById('stop').disabled");

        await AskAsync(page, "What is C++?");
        await page.WaitForAsync("document.getElementById('status').textContent === 'Complete'");
        Assert.Equal("One moment. <b>Here</b> it is.", await page.EvaluateAsync("document.querySelector('.assistant').textContent"));

        await AskAsync(page, "Tell me more.");
        await page.WaitForAsync("document.querySelectorAll('.assistant')[1]?.textContent.length > 20");
        Assert.Equal("false", await page.EvaluateAsync("document.getElementById('stop').disabled"));
        await page.EvaluateAsync("document.getElementById('stop').click()");
        await page.WaitForAsync("document.getElementById('status').textContent === 'Stopped'");
        await using LlamaClient client = await LlamaClient.ConnectAsync(
            new LlamaClientOptions { InstanceName = surroundings.Name, Start = HostStart.Never });
        await EventuallyAsync(() => client.Status is { Running: 0, Queued: 0 }, "the host works on nothing");
    }

    [HostTheory]
    [InlineData("SemanticKernelChat")]
    [InlineData("AgentFrameworkChat")]
    public async Task A_framework_calls_a_function_and_the_built_in_model_uses_its_result(string example)
    {
        using Surroundings surroundings = new();
        using Process program = Start(example);
        string output = await program.StandardOutput.ReadToEndAsync();
        await program.WaitForExitAsync();
        string[] lines = output.TrimEnd('\n').Split('\n');
        Assert.Equal(2, lines.Length);
        Assert.Equal("[calculate: 12*7]", lines[0]);
        Assert.Contains("84", lines[1], StringComparison.Ordinal);
        Assert.Equal(0, program.ExitCode);
        Assert.Empty(ObjectsOf(surroundings.Name));
    }

    private static async Task AskAsync(Browser page, string question)
    {
        await page.WaitForAsync("!document.getElementById('send').disabled"); // else the click is lost
        await page.EvaluateAsync($"document.getElementById('question').value = '{question}'");
        await page.EvaluateAsync("document.getElementById('send').click()");
    }

    private static async Task<(string Text, string End)> ReadAnswerAsync(
        WebApplication web, CancellationToken cancellationToken, Action? onText = null)
    {
        object question = new { role = "user", contents = new[] { new Dictionary<string, string> { ["$type"] = "text", ["text"] = "What is C++?" } } };
        using HttpRequestMessage request = new(HttpMethod.Post, "/chat") { Content = JsonContent.Create(new[] { question }) };
        using HttpResponseMessage response =
            await web.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        response.EnsureSuccessStatusCode();
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        using StreamReader lines = new(await response.Content.ReadAsStreamAsync(cancellationToken));
        StringBuilder text = new();
        string kind = "", end = "";
        while (await lines.ReadLineAsync(cancellationToken) is string line)
        {
            if (line.StartsWith("event: ", StringComparison.Ordinal))
            {
                kind = line[7..];
            }
            else if (line.StartsWith("data: ", StringComparison.Ordinal) && kind == "text")
            {
                text.Append(line[6..]);
                onText?.Invoke();
            }
            else if (line.StartsWith("data: ", StringComparison.Ordinal))
            {
                end = line[6..];
            }
        }
        return (text.ToString(), end);
    }

    /// <summary>An example that was built beside the tests.</summary>
    private static Process Start(string example, params string[] arguments)
    {
        string program = Path.GetFullPath(
            Path.Combine(AppContext.BaseDirectory, "..", "..", example, "release", example + ".dll"));
        ProcessStartInfo start = new("dotnet", [program, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        return Process.Start(start)!;
    }

    /// <summary>The web application, on a port that the system chose.</summary>
    private sealed class WebApplication(Process process, HttpClient http) : IAsyncDisposable
    {
        private const string Listening = "Now listening on: ";

        internal HttpClient Http => http;

        internal static async Task<WebApplication> StartAsync(string name, params string[] arguments)
        {
            Process process = Start("WebChat",
            [
                "--urls", "http://127.0.0.1:0",
                "--contentRoot", Path.Combine(Root, "dotnet", "examples", "WebChat"),
                $"--Llama:InstanceName={name}",
                $"--Llama:HostPath={HostPath}",
                .. arguments,
            ]);
            while (await process.StandardOutput.ReadLineAsync() is string line)
            {
                int at = line.IndexOf(Listening, StringComparison.Ordinal);
                if (at >= 0)
                {
                    // What it says further is not wanted, but must not fill the pipe.
                    _ = process.StandardOutput.ReadToEndAsync();
                    return new WebApplication(process, new HttpClient { BaseAddress = new Uri(line[(at + Listening.Length)..]) });
                }
            }
            throw new InvalidOperationException("The web application has ended.");
        }

        public async ValueTask DisposeAsync()
        {
            http.Dispose();
            Signal(process.Id, SigTerm);
            await process.WaitForExitAsync();
            Assert.Equal(0, process.ExitCode);
            process.Dispose();
        }

        private const int SigTerm = 15;
    }
}
