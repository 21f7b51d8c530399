// The C# code of the streaming guide, word for word: each block between "guide:" comments is one block of the guide.
// That this file compiles is the test; GuideTests runs the parts that need no window and compares the text with the
// guide's. The scaffolding around the blocks is what the guide leaves to its reader.
using System.Windows;
using System.Windows.Controls;
using LlamaIpc;

namespace LlamaIpc.Tests.Guide
{
    /// <summary>The blocks that are statements of a console program or of a window.</summary>
    internal sealed class Snippets
    {
        internal readonly TextBox myTextBox = new();
        internal readonly Label statusLabel = new();

        internal static void NormalMode()
        {
            // guide: normal mode
            using var client = new LlamaCppStreamingClient();
            client.Initialize("./build/chatbot");

            // Get full response at once (like before)
            string response = client.SendRequest("What is C++?");
            Console.WriteLine(response);
            // end
        }

        internal string StreamingMode()
        {
            // guide: streaming mode
            using var client = new LlamaCppStreamingClient();
            client.Initialize("./build/chatbot");

            // Subscribe to streaming updates
            client.OnStreamUpdate += (sender, e) =>
            {
                // Update your UI textbox/label here!
                myTextBox.Text = e.PartialResponse;
                statusLabel.Text = $"Tokens: {e.TokensGenerated}";

                if (e.IsComplete)
                {
                    statusLabel.Text = "Complete!";
                }
            };

            // Send request with streaming
            string finalResponse = client.SendStreamingRequest(
                "Explain C++ pointers in detail",
                "You are a helpful tutor"
            );
            // end
            return finalResponse;
        }

        internal static void HowToUse(EventHandler<StreamUpdateEventArgs> onUpdate)
        {
            void UpdateUI(object? sender, StreamUpdateEventArgs e) => onUpdate(sender, e);

            // guide: how to use
            // In your C# app
            using var client = new LlamaCppStreamingClient();
            client.Initialize("./build/chatbot");

            // Enable streaming in your UI
            client.OnStreamUpdate += UpdateUI;

            // Send streaming request
            client.SendStreamingRequest("Your question here");
            // end
        }

        internal static void Debugging(LlamaCppStreamingClient client)
        {
            // guide: debugging
            // Add logging in C#
            client.OnStreamUpdate += (sender, e) =>
            {
                Console.WriteLine($"[Update {e.TokensGenerated}] Latest: {e.PartialResponse.Length} chars");
            };
            // end
        }
    }
}

namespace LlamaIpc.Tests.Guide.Wpf
{
    // guide: WPF window
    public partial class MainWindow : Window
    {
        private LlamaCppStreamingClient _llmClient;

        public MainWindow()
        {
            InitializeComponent();

            _llmClient = new LlamaCppStreamingClient();
            _llmClient.Initialize("./build/chatbot");

            // Handle streaming updates on UI thread
            _llmClient.OnStreamUpdate += (sender, e) =>
            {
                Dispatcher.Invoke(() =>
                {
                    // Update UI elements
                    ResponseTextBox.Text = e.PartialResponse;
                    ProgressLabel.Text = $"Generated {e.TokensGenerated} tokens...";

                    if (e.IsComplete)
                    {
                        ProgressLabel.Text = $"Complete! ({e.TokensGenerated} tokens)";
                        SendButton.IsEnabled = true;
                    }
                });
            };
        }

        private async void SendButton_Click(object sender, RoutedEventArgs e)
        {
            SendButton.IsEnabled = false;
            ProgressLabel.Text = "Generating...";

            await Task.Run(() =>
            {
                _llmClient.SendStreamingRequest(
                    UserInputTextBox.Text,
                    "You are my best assistance."
                );
            });
        }
    }
    // end

    /// <summary>The part of the window that XAML makes.</summary>
    public partial class MainWindow
    {
        internal readonly TextBox UserInputTextBox = new();
        internal readonly TextBox ResponseTextBox = new();
        internal readonly Label ProgressLabel = new();
        internal readonly Button SendButton = new();

        private void InitializeComponent() => SendButton.Click += SendButton_Click;
    }
}
