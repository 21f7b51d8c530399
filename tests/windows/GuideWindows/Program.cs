// A window of the guide's examples, real and with a real host: what it shows is checked here, what a person does comes from outside.
//
//     GuideWindows wpf|winforms answers PATH-TO-CHATBOT TEXT-FILE TOKENS-PER-SECOND
//         with a host that plays the text back: a whole answer, a click meanwhile, stop, a second window; then that host is killed,
//         and the window starts the one beside this program
//     GuideWindows wpf|winforms missing
//         LLAMA_ARG_MODEL names no file, and no host runs: the window starts one, and says why it cannot
//
// Standard output says what is to be done next, one line each: "click X Y", "picture NAME"; and what was found: "right WHAT",
// "WRONG WHAT", "until WHAT" it waits, "figure WHAT". Figures decide nothing. "done" comes last, if all is well.
using System;
using System.Collections.Generic;
using System.ComponentModel;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Forms = System.Windows.Forms;
using Wpf = System.Windows;

namespace GuideWindows;

/// <summary>What a test sees of a window. All of it on the windows' thread, but <see cref="Post"/>.</summary>
internal interface IExampleWindow
{
    string Answer { get; }

    string Status { get; }

    /// <summary>All that the status has been.</summary>
    IReadOnlyCollection<string> Statuses { get; }

    bool CanSend { get; }

    /// <summary>How often the question's field was clicked.</summary>
    int Clicks { get; }

    /// <summary>When "Cancel" was clicked last: <see cref="Stopwatch.GetTimestamp"/>.</summary>
    long CancelledAt { get; }

    /// <summary>Where on the screen "Send", "Cancel" or "Question" is.</summary>
    (int X, int Y) PlaceOf(string element);

    void Show();

    void MoveTo(int x, int y);

    void Close();

    /// <summary>Shows it, and runs what is given on its thread, until that is done.</summary>
    void Run(Func<Task> play);

    /// <summary>Runs what is given on the windows' thread when a click would be handled. Any thread.</summary>
    void Post(Action action);
}

internal sealed class WpfWindow : IExampleWindow
{
    private readonly WpfExample.MainWindow window = new();
    private readonly HashSet<string> statuses = [];

    internal WpfWindow()
    {
        window.WindowStartupLocation = Wpf.WindowStartupLocation.Manual;
        Box("UserInputTextBox").PreviewMouseLeftButtonDown += (sender, e) => Clicks++;
        Button("CancelButton").PreviewMouseLeftButtonUp += (sender, e) => CancelledAt = Stopwatch.GetTimestamp();
        DependencyPropertyDescriptor.FromProperty(Wpf.Controls.TextBlock.TextProperty, typeof(Wpf.Controls.TextBlock))
            .AddValueChanged(Label, (sender, e) => statuses.Add(Status));
    }

    public string Answer => Box("ResponseTextBox").Text;

    public string Status => Label.Text;

    public IReadOnlyCollection<string> Statuses => statuses;

    public bool CanSend => Button("SendButton").IsEnabled;

    public int Clicks { get; private set; }

    public long CancelledAt { get; private set; }

    private Wpf.Controls.TextBlock Label => (Wpf.Controls.TextBlock)window.FindName("ProgressLabel");

    public (int X, int Y) PlaceOf(string element)
    {
        var shown = (Wpf.FrameworkElement)window.FindName(element == "Question" ? "UserInputTextBox" : element + "Button");
        Wpf.Point place = shown.PointToScreen(new Wpf.Point(shown.ActualWidth / 2, shown.ActualHeight / 2));
        return ((int)place.X, (int)place.Y);
    }

    public void Show() => window.Show();

    public void MoveTo(int x, int y)
    {
        window.Left = x;
        window.Top = y;
    }

    public void Close() => window.Close();

    public void Run(Func<Task> play)
    {
        var application = new Wpf.Application();
        window.ContentRendered += async (sender, e) =>
        {
            await play();
            window.Close();
        };
        application.Run(window);
    }

    public void Post(Action action) => window.Dispatcher.BeginInvoke(Wpf.Threading.DispatcherPriority.Input, action);

    private Wpf.Controls.TextBox Box(string name) => (Wpf.Controls.TextBox)window.FindName(name);

    private Wpf.Controls.Button Button(string name) => (Wpf.Controls.Button)window.FindName(name);
}

internal sealed class FormsWindow : IExampleWindow
{
    private readonly WinFormsExample.MainForm form = new() { StartPosition = Forms.FormStartPosition.Manual };
    private readonly HashSet<string> statuses = [];
    private readonly Forms.TextBox question;

    internal FormsWindow()
    {
        question = form.Controls.OfType<Forms.TextBox>().Single(box => !box.Multiline);
        question.MouseDown += (sender, e) => Clicks++;
        Button("Cancel").MouseUp += (sender, e) => CancelledAt = Stopwatch.GetTimestamp();
        Label.TextChanged += (sender, e) => statuses.Add(Status);
    }

    public string Answer => form.Controls.OfType<Forms.TextBox>().Single(box => box.Multiline).Text;

    public string Status => Label.Text;

    public IReadOnlyCollection<string> Statuses => statuses;

    public bool CanSend => Button("Send").Enabled;

    public int Clicks { get; private set; }

    public long CancelledAt { get; private set; }

    private Forms.Label Label => form.Controls.OfType<Forms.Label>().Single();

    public (int X, int Y) PlaceOf(string element)
    {
        Forms.Control shown = element == "Question" ? question : Button(element);
        System.Drawing.Point place = shown.PointToScreen(new System.Drawing.Point(shown.Width / 2, shown.Height / 2));
        return (place.X, place.Y);
    }

    public void Show() => form.Show();

    public void MoveTo(int x, int y) => form.Location = new System.Drawing.Point(x, y);

    public void Close() => form.Close();

    public void Run(Func<Task> play)
    {
        form.Shown += async (sender, e) =>
        {
            await play();
            form.Close();
        };
        Forms.Application.Run(form);
    }

    public void Post(Action action) => form.BeginInvoke(action);

    private Forms.Button Button(string text) => form.Controls.OfType<Forms.Button>().Single(button => button.Text == text);
}

/// <summary>Measures how long the windows' thread takes to come to something new, fifty times a second.</summary>
internal sealed class Pulse : IDisposable
{
    private readonly CancellationTokenSource end = new();
    private readonly List<double> delaysMs = [];
    private readonly Task beating;

    internal Pulse(IExampleWindow window) => beating = Task.Run(async () =>
    {
        while (!end.IsCancellationRequested)
        {
            long began = Stopwatch.GetTimestamp();
            window.Post(() => delaysMs.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds));
            await Task.Delay(20);
        }
    });

    /// <summary>On the windows' thread.</summary>
    public override string ToString()
    {
        delaysMs.Sort();
        return delaysMs.Count == 0 ? "never"
            : $"median {delaysMs[delaysMs.Count / 2]:F1} ms, 99 of 100 {delaysMs[delaysMs.Count * 99 / 100]:F1} ms, "
                + $"most {delaysMs[^1]:F1} ms of {delaysMs.Count}";
    }

    public void Dispose()
    {
        end.Cancel();
        end.Dispose();
    }
}

internal static class Program
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private static bool hasFailed;
    private static string kind = "";
    private static Process? host;

    [STAThread]
    private static int Main(string[] args)
    {
        kind = args[0];
        string text = args.Length > 3 ? File.ReadAllText(args[3]) : "";
        if (args[1] == "answers")
        {
            host = Process.Start(new ProcessStartInfo(args[2], $"--replay \"{args[3]}\" --rate {args[4]}")
            {
                UseShellExecute = false,
                CreateNoWindow = true,
            })!;
        }
        try
        {
            IExampleWindow window = NewWindow();
            window.MoveTo(0, 0);
            window.Run(() => PlayAsync(window, text));
        }
        finally
        {
            host?.Kill(entireProcessTree: true);
        }
        return hasFailed ? 1 : 0;
    }

    private static IExampleWindow NewWindow() => kind == "wpf" ? new WpfWindow() : new FormsWindow();

    private static async Task PlayAsync(IExampleWindow window, string text)
    {
        try
        {
            await (host is null ? MissingAsync(window) : AnswersAsync(window, text));
        }
        catch (TimeoutException error)
        {
            Check($"{error.Message}; the status is \"{window.Status}\", the answer has {window.Answer.Length} characters", false);
            Say($"picture window-{kind}-wrong");
        }
        if (!hasFailed)
        {
            Say("done");
        }
    }

    private static async Task AnswersAsync(IExampleWindow window, string text)
    {
        await UntilAsync("the host is found", () => window.Status == "Ready" && window.CanSend);
        await WholeAsync(window, text);
        await ClickAsync(window, text);
        await StopAsync(window, text);
        await SecondAsync(window, text);
        await KilledAsync(window);
    }

    private static async Task MissingAsync(IExampleWindow window)
    {
        await UntilAsync("it is said that the model is missing", () => window.Status.Contains("such.gguf", StringComparison.Ordinal));
        Check("it was said that the model is being loaded", window.Statuses.Any(IsLoading));
        Check(window.Status, true);
        await PictureAsync("missing");
    }

    private static async Task WholeAsync(IExampleWindow window, string text)
    {
        using Pulse pulse = new(window);
        await SendAsync(window);
        await UntilAsync("the answer has begun", () => window.Answer.Length > text.Length / 8);
        Say($"picture window-{kind}-streaming");
        await UntilDoneAsync(window);
        Check("the answer is whole", window.Answer == text);
        Say($"figure while an answer streams in, the window comes to something new within: {pulse}");
        Say($"picture window-{kind}-whole");
    }

    /// <summary>A click is answered while an answer streams in. The click may come too late on a busy machine: then another
    /// answer.</summary>
    private static async Task ClickAsync(IExampleWindow window, string text)
    {
        double idleMs = await TimeOfClickAsync(window);
        for (int attempt = 0; attempt < 10; attempt++)
        {
            await AskAgainAsync(window, text);
            double streamingMs = await TimeOfClickAsync(window);
            int shown = window.Answer.Length;
            await UntilDoneAsync(window);
            if (shown < text.Length)
            {
                Check($"a click is answered at {shown} of {text.Length} characters", true);
                Say($"figure a click, from here through xdotool and back: {streamingMs:F0} ms; while nothing streams {idleMs:F0} ms");
                return;
            }
        }
        Check("a click is answered while the answer streams", false);
    }

    private static async Task<double> TimeOfClickAsync(IExampleWindow window)
    {
        int clicks = window.Clicks;
        var time = Stopwatch.StartNew();
        await ClickUntilAsync(window, "Question", "the click has come", () => window.Clicks > clicks, everyMs: 5);
        return time.Elapsed.TotalMilliseconds;
    }

    private static async Task StopAsync(IExampleWindow window, string text)
    {
        for (int attempt = 0; attempt < 10; attempt++)
        {
            await AskAgainAsync(window, text);
            Click(window, "Cancel");
            await UntilAsync("it has stopped", () => window.Status == "Cancelled" || IsComplete(window), everyMs: 5);
            if (window.Status == "Cancelled")
            {
                Say($"figure stopped within {Stopwatch.GetElapsedTime(window.CancelledAt).TotalMilliseconds:F0} ms");
                Check("stopped, and what was there stays", window.Answer.Length < text.Length
                    && text.StartsWith(window.Answer, StringComparison.Ordinal));
                await PictureAsync("stopped");
                return;
            }
            await UntilDoneAsync(window);
        }
        Check("it can be stopped", false);
    }

    private static async Task SecondAsync(IExampleWindow window, string text)
    {
        IExampleWindow second = NewWindow();
        second.MoveTo(660, 0);
        second.Show();
        await UntilAsync("the second window has found the host", () => second.Status == "Ready" && second.CanSend);
        // One after the other: whoever waits for a turn gets it from a window that takes its last tokens too late, on a busy machine.
        await SendAsync(second);
        await UntilAsync("the second window's answer has begun", () => second.Answer.Length > text.Length / 16);
        Say($"picture window-{kind}-two");
        await UntilDoneAsync(second);
        await AskAgainAsync(window, text);
        await UntilDoneAsync(window);
        Check("both windows have their answers whole", window.Answer == text && second.Answer == text);
        second.Close();
        await Task.Delay(100);
        Check("a second window leaves the host alone", !host!.HasExited);
    }

    private static async Task KilledAsync(IExampleWindow window)
    {
        await SendAsync(window);
        await UntilAsync("another answer has begun", () => !window.CanSend && window.Status.Any(char.IsAsciiDigit));
        host!.Kill(entireProcessTree: true);
        await UntilAsync("the window has noticed", () => window.CanSend, everyMs: 5);
        await PictureAsync("killed");
        await SendAsync(window);
        await UntilDoneAsync(window);
        Check("the next host answers: " + window.Answer, window.Answer.Length > 0);
        Check("it was said that a model is being loaded", window.Statuses.Any(IsLoading));
        await PictureAsync("back");
    }

    private static async Task AskAgainAsync(IExampleWindow window, string text)
    {
        await SendAsync(window);
        await UntilAsync("another answer has begun",
            () => !window.CanSend && window.Answer.Length > text.Length / 16 && window.Answer.Length < text.Length);
    }

    private static async Task SendAsync(IExampleWindow window)
    {
        await ClickUntilAsync(window, "Send", "the question is sent", () => !window.CanSend);
    }

    /// <summary>Clicks, and once more where nothing comes of it for longer than an answer takes: on a busy machine a click can
    /// be lost on its way to a window that has only just been shown.</summary>
    private static async Task ClickUntilAsync(
        IExampleWindow window, string element, string what, Func<bool> holds, int everyMs = 50)
    {
        Click(window, element);
        var sinceClick = Stopwatch.StartNew();
        await UntilAsync(
            what,
            () =>
            {
                if (holds())
                {
                    return true;
                }
                if (sinceClick.Elapsed > TimeSpan.FromSeconds(20))
                {
                    Click(window, element);
                    sinceClick.Restart();
                }
                return false;
            },
            everyMs);
    }

    private static bool IsComplete(IExampleWindow window) => window.Status.StartsWith("Complete!", StringComparison.Ordinal);

    private static bool IsLoading(string status) => status.Contains("loading", StringComparison.Ordinal);

    private static Task UntilDoneAsync(IExampleWindow window) =>
        UntilAsync("the answer is complete", () => IsComplete(window) && window.CanSend);

    private static async Task PictureAsync(string what)
    {
        await Task.Delay(500); // For it to be drawn; nothing is decided by that.
        Say($"picture window-{kind}-{what}");
        await Task.Delay(1500); // For it to be taken.
    }

    private static void Click(IExampleWindow window, string element)
    {
        (int x, int y) = window.PlaceOf(element);
        Say($"click {x} {y}");
    }

    /// <summary>Looks seldom: reading a long text keeps the windows' thread busy, too.</summary>
    private static async Task UntilAsync(string what, Func<bool> holds, int everyMs = 50)
    {
        Say($"until {what}");
        for (var time = Stopwatch.StartNew(); !holds(); await Task.Delay(everyMs))
        {
            if (time.Elapsed > Patience)
            {
                throw new TimeoutException("not within five minutes: " + what);
            }
        }
    }

    private static void Check(string what, bool isRight)
    {
        Say($"{(isRight ? "right" : "WRONG")} {what.ReplaceLineEndings(" ")}");
        hasFailed |= !isRight;
    }

    private static void Say(string line)
    {
        Console.Out.Write(line + "\n");
        Console.Out.Flush();
    }
}
