// An Avalonia application with one window, bound to the library's view model.
using Avalonia;
using Avalonia.Controls;
using Avalonia.Controls.ApplicationLifetimes;
using Avalonia.Threading;
using Avalonia.Themes.Fluent;
using LlamaIpc;

namespace AvaloniaChat;

/// <summary>Connects when it starts; the host ends with the application.</summary>
public sealed class App : Application
{
    /// <inheritdoc/>
    public override void Initialize() => Styles.Add(new FluentTheme());

    /// <inheritdoc/>
    public override void OnFrameworkInitializationCompleted()
    {
        if (ApplicationLifetime is IClassicDesktopStyleApplicationLifetime desktop)
        {
            Window window = new() { Title = "Connecting ...", Width = 640, Height = 480 };
            desktop.MainWindow = window;
            Dispatcher.UIThread.Post(() => _ = ConnectAsync(desktop, window));
        }
        base.OnFrameworkInitializationCompleted();
    }

    private static async Task ConnectAsync(IClassicDesktopStyleApplicationLifetime desktop, Window window)
    {
        try
        {
            LlamaClient client = await LlamaClient.ConnectAsync();
            desktop.Exit += (_, _) => client.Dispose();
            window.Title = client.Status.Model;
            window.Content = new ChatView(new ChatViewModel(client, "You are a helpful tutor"));
        }
        catch (LlamaIpcException e)
        {
            window.Content = new TextBlock { Text = e.Message };
        }
    }
}
