// A window of the guide's examples, real and with a real host: what it shows is checked here, what a person does comes from outside.
//
//     GuideWindows wpf|winforms PATH-TO-CHATBOT TEXT-FILE TOKENS-PER-SECOND
//
// Standard output says what is to be done next, one line each: "click X Y", "picture NAME"; and what was found: "right WHAT",
// "WRONG WHAT". Exit code 0 if all is well.
using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using Forms = System.Windows.Forms;
using Wpf = System.Windows;

namespace GuideWindows;

/// <summary>What a test sees of a window.</summary>
internal interface IExampleWindow
{
    string Answer { get; }

    string Status { get; }

    /// <summary>How often the question's field was clicked.</summary>
    int Clicks { get; }

    /// <summary>Where on the screen "Send", "Cancel" or "Question" is.</summary>
    (int X, int Y) PlaceOf(string element);

    /// <summary>Shows it, and runs what is given on its thread, until that is done.</summary>
    void Run(Func<Task> play);
}

internal sealed class WpfWindow : IExampleWindow
{
    private readonly WpfExample.MainWindow window = new();

    internal WpfWindow() => Box("UserInputTextBox").PreviewMouseLeftButtonDown += (sender, e) => Clicks++;

    public string Answer => Box("ResponseTextBox").Text;

    public string Status => ((Wpf.Controls.TextBlock)window.FindName("ProgressLabel")).Text;

    public int Clicks { get; private set; }

    public (int X, int Y) PlaceOf(string element)
    {
        var shown = (Wpf.FrameworkElement)window.FindName(element == "Question" ? "UserInputTextBox" : element + "Button");
        Wpf.Point place = shown.PointToScreen(new Wpf.Point(shown.ActualWidth / 2, shown.ActualHeight / 2));
        return ((int)place.X, (int)place.Y);
    }

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

    private Wpf.Controls.TextBox Box(string name) => (Wpf.Controls.TextBox)window.FindName(name);
}

internal sealed class FormsWindow : IExampleWindow
{
    private readonly WinFormsExample.MainForm form = new();
    private readonly Forms.TextBox question;

    internal FormsWindow()
    {
        question = form.Controls.OfType<Forms.TextBox>().Single(box => !box.Multiline);
        question.MouseDown += (sender, e) => Clicks++;
    }

    public string Answer => form.Controls.OfType<Forms.TextBox>().Single(box => box.Multiline).Text;

    public string Status => form.Controls.OfType<Forms.Label>().Single().Text;

    public int Clicks { get; private set; }

    public (int X, int Y) PlaceOf(string element)
    {
        Forms.Control shown = element == "Question" ? question
            : form.Controls.OfType<Forms.Button>().Single(button => button.Text == element);
        System.Drawing.Point place = shown.PointToScreen(new System.Drawing.Point(shown.Width / 2, shown.Height / 2));
        return (place.X, place.Y);
    }

    public void Run(Func<Task> play)
    {
        form.Shown += async (sender, e) =>
        {
            await play();
            form.Close();
        };
        Forms.Application.Run(form);
    }
}

internal static class Program
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private static bool hasFailed;

    [STAThread]
    private static int Main(string[] args)
    {
        string text = File.ReadAllText(args[2]);
        using Process host = Process.Start(new ProcessStartInfo(args[1], $"--replay \"{args[2]}\" --rate {args[3]}")
        {
            UseShellExecute = false,
            CreateNoWindow = true,
        })!;
        try
        {
            IExampleWindow window = args[0] == "wpf" ? new WpfWindow() : new FormsWindow();
            window.Run(() => PlayAsync(args[0], window, text));
        }
        finally
        {
            host.Kill(entireProcessTree: true);
        }
        return hasFailed ? 1 : 0;
    }

    private static async Task PlayAsync(string name, IExampleWindow window, string text)
    {
        try
        {
            await UntilAsync("the host is found", () => window.Status == "Ready");
            await WholeAsync(name, window, text);
            await ClickAsync(window, text);
            await StopAsync(name, window, text);
        }
        catch (TimeoutException error)
        {
            Check(error.Message, false);
        }
    }

    private static async Task WholeAsync(string name, IExampleWindow window, string text)
    {
        Click(window, "Send");
        await UntilAsync("the answer has begun", () => window.Answer.Length > text.Length / 8);
        Say($"picture window-{name}-streaming");
        await UntilAsync("the answer is complete", () => window.Status.StartsWith("Complete!", StringComparison.Ordinal));
        Check("the answer is whole", window.Answer == text);
        Say($"picture window-{name}-whole");
    }

    /// <summary>A click is answered while an answer streams in. The click may come too late on a busy machine: then another
    /// answer.</summary>
    private static async Task ClickAsync(IExampleWindow window, string text)
    {
        for (int attempt = 0; attempt < 10; attempt++)
        {
            int clicks = window.Clicks;
            await AskAgainAsync(window, text);
            var time = Stopwatch.StartNew();
            Click(window, "Question");
            await UntilAsync("the click has come", () => window.Clicks > clicks);
            int shown = window.Answer.Length;
            await UntilAsync("the answer is complete", () => window.Status.StartsWith("Complete!", StringComparison.Ordinal));
            if (shown < text.Length)
            {
                Say($"right a click is answered at {shown} of {text.Length} characters, {time.ElapsedMilliseconds} ms");
                return;
            }
        }
        Check("a click is answered while the answer streams", false);
    }

    private static async Task StopAsync(string name, IExampleWindow window, string text)
    {
        for (int attempt = 0; attempt < 10; attempt++)
        {
            await AskAgainAsync(window, text);
            Click(window, "Cancel");
            await UntilAsync("it has stopped", () => window.Status == "Cancelled"
                || window.Status.StartsWith("Complete!", StringComparison.Ordinal));
            if (window.Status == "Cancelled")
            {
                Check("stopped, and what was there stays", window.Answer.Length < text.Length
                    && text.StartsWith(window.Answer, StringComparison.Ordinal));
                Say($"picture window-{name}-stopped");
                return;
            }
        }
        Check("it can be stopped", false);
    }

    private static async Task AskAgainAsync(IExampleWindow window, string text)
    {
        Click(window, "Send");
        await UntilAsync("another answer has begun",
            () => window.Answer.Length > text.Length / 16 && window.Answer.Length < text.Length);
    }

    private static void Click(IExampleWindow window, string element)
    {
        (int x, int y) = window.PlaceOf(element);
        Say($"click {x} {y}");
    }

    private static async Task UntilAsync(string what, Func<bool> holds)
    {
        for (var time = Stopwatch.StartNew(); !holds(); await Task.Delay(5))
        {
            if (time.Elapsed > Patience)
            {
                throw new TimeoutException("not within five minutes: " + what);
            }
        }
    }

    private static void Check(string what, bool isRight)
    {
        Say($"{(isRight ? "right" : "WRONG")} {what}");
        hasFailed |= !isRight;
    }

    private static void Say(string line)
    {
        Console.Out.Write(line + "\n");
        Console.Out.Flush();
    }
}
