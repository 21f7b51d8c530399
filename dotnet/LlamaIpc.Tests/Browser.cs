// A browser without a screen, for pages of the examples.
using System.Diagnostics;
using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text.Json;
using Xunit;

namespace LlamaIpc.Tests;

/// <summary>A test that needs a host and Chromium; skipped, with a sentence, where there is none.</summary>
internal sealed class BrowserFactAttribute : FactAttribute
{
    public BrowserFactAttribute()
    {
        Timeout = TestEnvironment.LimitMs;
        Skip = !File.Exists(TestEnvironment.HostPath) ? $"The host program '{TestEnvironment.HostPath}' does not exist."
            : Browser.Program is null ? "There is no Chromium here: the page of the web example is not tested in a browser."
            : null;
    }
}

/// <summary>One page in a headless Chromium, driven through the DevTools protocol.</summary>
internal sealed class Browser : IAsyncDisposable
{
    private const string Listening = "DevTools listening on ";

    private readonly TemporaryFolder profile;
    private readonly Process process;
    private readonly ClientWebSocket page;
    private int lastId;

    private Browser(TemporaryFolder profile, Process process, ClientWebSocket page)
    {
        this.profile = profile;
        this.process = process;
        this.page = page;
    }

    /// <summary>The program; null if there is none.</summary>
    internal static string? Program { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "")
        .Split(Path.PathSeparator)
        .SelectMany(folder => (string[])[Path.Combine(folder, "chromium"), Path.Combine(folder, "chromium-browser")])
        .FirstOrDefault(File.Exists);

    internal static async Task<Browser> OpenAsync(Uri address)
    {
        TemporaryFolder profile = new();
        ProcessStartInfo start = new(Program!,
        [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--remote-debugging-port=0", $"--user-data-dir={profile.Path}", $"{address}",
        ]) { RedirectStandardError = true };
        Process process = Process.Start(start)!;
        while (await process.StandardError.ReadLineAsync() is string line)
        {
            if (line.StartsWith(Listening, StringComparison.Ordinal))
            {
                _ = process.StandardError.ReadToEndAsync(); // it must not fill the pipe
                return new Browser(profile, process, await ConnectAsync(new Uri(line[Listening.Length..])));
            }
        }
        throw new InvalidOperationException("The browser has ended.");
    }

    /// <summary>The value of a JavaScript expression, as a text.</summary>
    internal async Task<string> EvaluateAsync(string expression)
    {
        int id = ++lastId;
        object command = new
        {
            id,
            method = "Runtime.evaluate",
            @params = new { expression = $"String({expression})", returnByValue = true },
        };
        await page.SendAsync(
            JsonSerializer.SerializeToUtf8Bytes(command), WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
        JsonElement answer;
        do
        {
            answer = await ReceiveAsync();
        }
        while (!answer.TryGetProperty("id", out JsonElement of) || of.GetInt32() != id);
        // Without a value it has thrown: something of the page is not there yet.
        return answer.GetProperty("result").GetProperty("result").TryGetProperty("value", out JsonElement value)
            ? value.GetString()!
            : "";
    }

    /// <summary>Waits until an expression is true.</summary>
    internal async Task WaitForAsync(string condition)
    {
        Stopwatch watch = Stopwatch.StartNew();
        while (await EvaluateAsync(condition) != "true")
        {
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"Still not so after a minute: {condition}.");
            await Task.Delay(20);
        }
    }

    public async ValueTask DisposeAsync()
    {
        page.Dispose();
        process.Kill(entireProcessTree: true);
        await process.WaitForExitAsync();
        process.Dispose();
        await TestEnvironment.EventuallyAsync(IsProfileRemoved, "the browser has left its folder alone");

        bool IsProfileRemoved()
        {
            try
            {
                profile.Dispose();
                return true;
            }
            catch (IOException)
            {
                return false; // a child of it still writes
            }
        }
    }

    private static async Task<ClientWebSocket> ConnectAsync(Uri browser)
    {
        using HttpClient http = new() { BaseAddress = new Uri($"http://{browser.Authority}") };
        string? address = null; // The browser listens before it has a page.
        while (address is null)
        {
            JsonElement[] targets = (await http.GetFromJsonAsync<JsonElement[]>("/json/list"))!;
            address = targets.Where(target => target.GetProperty("type").GetString() == "page")
                .Select(target => target.GetProperty("webSocketDebuggerUrl").GetString())
                .SingleOrDefault();
            await Task.Delay(20);
        }
        ClientWebSocket page = new();
        await page.ConnectAsync(new Uri(address), CancellationToken.None);
        return page;
    }

    private async Task<JsonElement> ReceiveAsync()
    {
        using MemoryStream message = new();
        byte[] buffer = new byte[4096];
        WebSocketReceiveResult received;
        do
        {
            received = await page.ReceiveAsync(buffer, CancellationToken.None);
            message.Write(buffer, 0, received.Count);
        }
        while (!received.EndOfMessage);
        return JsonDocument.Parse(message.ToArray()).RootElement;
    }
}
