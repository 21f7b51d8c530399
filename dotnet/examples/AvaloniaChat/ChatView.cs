// A conversation: its messages, a line for the next question, buttons to send and to stop.
using Avalonia.Controls;
using Avalonia.Controls.Templates;
using Avalonia.Data;
using Avalonia.Layout;
using Avalonia.Media;
using LlamaIpc;

namespace AvaloniaChat;

/// <summary>Shows a <see cref="ChatViewModel"/>. All that changes is bound.</summary>
public sealed class ChatView : DockPanel
{
    /// <summary>Makes the view.</summary>
    /// <param name="viewModel">What it shows.</param>
    public ChatView(ChatViewModel viewModel)
    {
        DataContext = viewModel;
        StackPanel line = new() { Orientation = Orientation.Horizontal, Spacing = 8 };
        line.Children.Add(new TextBox { Width = 400, [!TextBox.TextProperty] = Of(nameof(viewModel.Input), BindingMode.TwoWay) });
        line.Children.Add(new Button { Content = "Send", IsDefault = true, Command = viewModel.SendCommand });
        line.Children.Add(new Button { Content = "Stop", IsCancel = true, Command = viewModel.StopCommand });
        Add(line, Dock.Bottom);
        Add(new TextBlock { [!TextBlock.TextProperty] = Of(nameof(viewModel.Status)) }, Dock.Bottom);
        Children.Add(new ScrollViewer
        {
            Content = new ItemsControl
            {
                ItemsSource = viewModel.Messages,
                ItemTemplate = new FuncDataTemplate<ChatMessageViewModel>((_, _) => new TextBlock
                {
                    TextWrapping = TextWrapping.Wrap,
                    [!TextBlock.TextProperty] = Of(nameof(ChatMessageViewModel.Text)),
                }),
            },
        });
    }

    private static Binding Of(string property, BindingMode mode = BindingMode.Default) => new(property) { Mode = mode };

    private void Add(Control control, Dock side)
    {
        SetDock(control, side);
        Children.Add(control);
    }
}
