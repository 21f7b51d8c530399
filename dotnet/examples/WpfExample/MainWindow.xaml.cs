// The WPF window of the streaming guide, with a cancel button, error messages and cleanup.
using System.Windows;
using System.Windows.Threading;
using LlamaIpc;

namespace WpfExample;

/// <summary>Asks a question and shows the answer while it grows.</summary>
public partial class MainWindow : Window
{
    private LlamaCppStreamingClient _llmClient;
    private CancellationTokenSource _cancel = new();

    /// <summary>Starts the host and subscribes to its updates.</summary>
    public MainWindow()
    {
        InitializeComponent();

        _llmClient = new LlamaCppStreamingClient();
        Loaded += async (sender, e) => await StartAsync();

        // Handle streaming updates on UI thread, after keys and clicks: a fast model and a long text would leave no time for them.
        _llmClient.OnStreamUpdate += (sender, e) =>
        {
            Dispatcher.Invoke(() =>
            {
                // Update UI elements. What is appended costs what it has; a text that is set anew is laid out as a whole, each time.
                ResponseTextBox.AppendText(e.NewText);
                ResponseTextBox.ScrollToEnd();
                ProgressLabel.Text = $"Generated {e.TokensGenerated} tokens...";

                if (e.IsComplete)
                {
                    ProgressLabel.Text = $"Complete! ({e.TokensGenerated} tokens)";
                }
            }, DispatcherPriority.Background);
        };

        // A closed window takes its host along.
        Closed += (sender, e) => _llmClient.Dispose();
    }

    // The window is there while the model loads. The host lies beside the application; in the guide's folders it would be
    // "./build/chatbot".
    private async Task StartAsync()
    {
        SendButton.IsEnabled = false;
        ProgressLabel.Text = "Starting the host, loading the model...";
        try
        {
            await _llmClient.InitializeAsync("chatbot");
            ProgressLabel.Text = "Ready";
            SendButton.IsEnabled = true;
        }
        catch (LlamaIpcException error)
        {
            ProgressLabel.Text = error.Message;
        }
    }

    private async void SendButton_Click(object sender, RoutedEventArgs e)
    {
        SendButton.IsEnabled = false;
        CancelButton.IsEnabled = true;
        ProgressLabel.Text = "Generating...";
        ResponseTextBox.Clear();
        using CancellationTokenSource cancel = new();
        _cancel = cancel;
        string question = UserInputTextBox.Text; // Here, since only this thread may touch the window's elements.

        try
        {
            await Task.Run(() =>
            {
                _llmClient.SendStreamingRequest(
                    question,
                    "You are my best assistance.",
                    cancel.Token
                );
            });
        }
        catch (OperationCanceledException)
        {
            ProgressLabel.Text = "Cancelled";
        }
        catch (HostGoneException)
        {
            await StartAsync(); // It was killed or has crashed: another takes its place.
        }
        catch (LlamaIpcException error)
        {
            ProgressLabel.Text = error.Message;
        }
        finally
        {
            SendButton.IsEnabled = true;
            CancelButton.IsEnabled = false;
        }
    }

    private void CancelButton_Click(object sender, RoutedEventArgs e)
    {
        _cancel.Cancel();
    }
}
