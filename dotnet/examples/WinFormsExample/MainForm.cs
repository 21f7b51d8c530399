// The streaming guide's window for Windows Forms. It uses the asynchronous call, whose updates arrive on the window's
// own thread, so nothing has to be dispatched.
using System.Windows.Forms;
using LlamaIpc;

namespace WinFormsExample;

/// <summary>Asks a question and shows the answer while it grows.</summary>
public sealed class MainForm : Form
{
    private readonly TextBox userInputTextBox = new() { Dock = DockStyle.Top, Text = "What is C++?" };
    private readonly TextBox myTextBox = new() { Dock = DockStyle.Fill, Multiline = true, ReadOnly = true, TabStop = false };
    private readonly Button sendButton = new() { Dock = DockStyle.Bottom, Text = "Send" };
    private readonly Button cancelButton = new() { Dock = DockStyle.Bottom, Text = "Cancel", Enabled = false };
    private readonly Label statusLabel = new() { Dock = DockStyle.Bottom, Height = 60, Text = "Ready" };

    private readonly LlamaCppStreamingClient client = new();
    private CancellationTokenSource cancel = new();
    private bool isStarted;

    /// <summary>Lays out the window; the host is started when it is shown.</summary>
    public MainForm()
    {
        Text = "LlamaIpc - Windows Forms example";
        Width = 640;
        Height = 480;
        Controls.AddRange([myTextBox, userInputTextBox, sendButton, cancelButton, statusLabel]);

        // Subscribe to streaming updates
        client.OnStreamUpdate += (sender, e) =>
        {
            // Update your UI textbox/label here! What is appended costs what it has; a text that is set anew is laid out as a
            // whole, each time.
            myTextBox.AppendText(e.NewText);
            statusLabel.Text = $"Tokens: {e.TokensGenerated}";

            if (e.IsComplete)
            {
                statusLabel.Text = "Complete!";
            }
        };

        Shown += async (sender, e) => await RunAsync("Starting the host, loading the model...", StartAsync);
        sendButton.Click += async (sender, e) => await RunAsync("Generating...", AskAsync);
        cancelButton.Click += (sender, e) => cancel.Cancel();

        // A closed window takes its host along.
        FormClosed += (sender, e) => client.Dispose();
    }

    // The host lies beside the application; in the guide's folders it would be "./build/chatbot".
    private async Task StartAsync()
    {
        await client.InitializeAsync("chatbot", cancel.Token);
        isStarted = true;
        statusLabel.Text = "Ready";
    }

    private async Task AskAsync()
    {
        if (!isStarted)
        {
            await StartAsync();
        }
        myTextBox.Clear();
        await client.SendStreamingRequestAsync(userInputTextBox.Text, "You are a helpful tutor", cancel.Token);
    }

    private async Task RunAsync(string status, Func<Task> action)
    {
        sendButton.Enabled = false;
        cancelButton.Enabled = true;
        statusLabel.Text = status;
        cancel = new CancellationTokenSource();
        try
        {
            await action();
        }
        catch (OperationCanceledException)
        {
            statusLabel.Text = "Cancelled";
        }
        catch (HostGoneException)
        {
            // It was killed or has crashed: another takes its place with the next question.
            statusLabel.Text = "The host is gone; the next question starts another.";
            isStarted = false;
        }
        catch (LlamaIpcException error)
        {
            statusLabel.Text = error.Message;
        }
        finally
        {
            sendButton.Enabled = true;
            cancelButton.Enabled = false;
            cancel.Dispose();
        }
    }
}
