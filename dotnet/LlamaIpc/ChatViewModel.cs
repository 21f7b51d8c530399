// What a chat window shows, for any framework that binds to INotifyPropertyChanged and ICommand.
using System.Collections.ObjectModel;
using System.ComponentModel;
using System.Runtime.CompilerServices;
using System.Windows.Input;

namespace LlamaIpc;

/// <summary>
/// The view model of a chat: messages that grow, a text box, buttons to send and to stop, a status line. WPF, WinForms,
/// Avalonia and MAUI bind to it. Make it and use it on the window's thread: all changes are raised there, at most one for
/// each frame.
/// </summary>
public sealed class ChatViewModel : INotifyPropertyChanged, IDisposable
{
    private const int ProgressIntervalMs = 100;

    private readonly LlamaClient client;
    private readonly Command send;
    private readonly Command stop;
    private readonly Command clear;
    private CancellationTokenSource? turn;
    private string input = "";
    private string status = "";
    private Exception? failure;

    /// <summary>Makes the view model of a new chat.</summary>
    /// <param name="client">The client that answers; it lives on when this is disposed.</param>
    /// <param name="instructions">What the model is told first; null: nothing.</param>
    public ChatViewModel(LlamaClient client, string? instructions = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        this.client = client;
        Instructions = instructions;
        send = new Command(() => _ = SendAsync(), () => !IsBusy && Input.Trim().Length > 0);
        stop = new Command(Stop, () => IsBusy);
        clear = new Command(Clear, () => !IsBusy);
    }

    /// <inheritdoc/>
    public event PropertyChangedEventHandler? PropertyChanged;

    /// <summary>What the model is told first; null: nothing.</summary>
    public string? Instructions { get; set; }

    /// <summary>How answers are made: everything of it but the messages is sent with each question.</summary>
    public LlamaRequest Parameters { get; set; } = new();

    /// <summary>What was said, the oldest first. The last one grows while <see cref="IsBusy"/>.</summary>
    public ObservableCollection<ChatMessageViewModel> Messages { get; } = [];

    /// <summary>What the user is typing. Sending it empties it.</summary>
    public string Input
    {
        get => input;
        set
        {
            if (Set(ref input, value ?? ""))
            {
                send.RaiseCanExecuteChanged();
            }
        }
    }

    /// <summary>Whether an answer is being made.</summary>
    public bool IsBusy => turn != null;

    /// <summary>A line about what is happening: the place in the queue, how much of the prompt is read, the speed.</summary>
    public string Status
    {
        get => status;
        private set => Set(ref status, value);
    }

    /// <summary>Why the last answer is not whole; null: it is, or the user stopped it.</summary>
    public Exception? Failure
    {
        get => failure;
        private set => Set(ref failure, value);
    }

    /// <summary>Sends <see cref="Input"/>. Can be executed while it is not empty and no answer is being made.</summary>
    public ICommand SendCommand => send;

    /// <summary>Stops the answer that is being made.</summary>
    public ICommand StopCommand => stop;

    /// <summary>Forgets all messages.</summary>
    public ICommand ClearCommand => clear;

    /// <summary>
    /// Sends <see cref="Input"/> and ends when the answer has. Throws nothing that the answer can end with: that is in
    /// <see cref="Failure"/>.
    /// </summary>
    public async Task SendAsync()
    {
        string text = Input.Trim();
        if (IsBusy || text.Length == 0)
        {
            return;
        }
        Input = "";
        Messages.Add(new ChatMessageViewModel(LlamaRole.User, text));
        LlamaRequest request = Parameters with { Messages = History() };
        ChatMessageViewModel answer = new(LlamaRole.Assistant, "") { IsGrowing = true };
        Messages.Add(answer);
        using CancellationTokenSource cancel = new();
        SetTurn(cancel);
        Failure = null;
        try
        {
            await AnswerAsync(request, answer, cancel.Token).ConfigureAwait(true);
        }
        catch (OperationCanceledException)
        {
            answer.IsWhole = false;
            Status = "Stopped";
        }
        catch (Exception e) when (e is LlamaIpcException or ArgumentException or ObjectDisposedException)
        {
            answer.IsWhole = false;
            Failure = e;
            Status = e.Message;
        }
        finally
        {
            answer.IsGrowing = false;
            SetTurn(null);
        }
    }

    /// <summary>Stops the answer that is being made; what has arrived of it stays.</summary>
    public void Stop() => turn?.Cancel();

    /// <summary>Stops what is under way.</summary>
    public void Dispose() => Stop();

    private async Task AnswerAsync(LlamaRequest request, ChatMessageViewModel answer, CancellationToken cancellationToken)
    {
        using LlamaStream stream = client.OpenStream(request);
        _ = ShowProgressAsync(stream, answer, cancellationToken);
        await foreach (string piece in stream.ReadAllAsync(cancellationToken).ConfigureAwait(true))
        {
            answer.Append(piece);
            Status = Describe(stream.Progress);
        }
        LlamaResult result = stream.Result!;
        answer.IsWhole = !result.IsTruncated;
        Status = $"{result.Tokens} tokens, {result.TokensPerSecond:F0} a second";
        stream.ThrowIfTruncated();
    }

    /// <summary>Says why there is no text yet.</summary>
    private async Task ShowProgressAsync(
        LlamaStream stream, ChatMessageViewModel answer, CancellationToken cancellationToken)
    {
        while (answer is { IsGrowing: true, Text: "" } && !cancellationToken.IsCancellationRequested)
        {
            Status = Describe(stream.Progress);
            await Task.Delay(ProgressIntervalMs, CancellationToken.None).ConfigureAwait(true);
        }
    }

    private static string Describe(LlamaProgress progress) => progress.State switch
    {
        LlamaStreamState.Queued => $"{progress.QueuePosition} before this one",
        LlamaStreamState.Reading => $"Reading: {progress.PromptTokensDone} of {progress.PromptTokens}",
        LlamaStreamState.Recovering => "One moment, then it goes on",
        _ => $"{progress.Tokens} tokens",
    };

    private List<LlamaMessage> History()
    {
        List<LlamaMessage> history = [];
        if (!string.IsNullOrEmpty(Instructions))
        {
            history.Add(LlamaMessage.System(Instructions!));
        }
        foreach (ChatMessageViewModel message in Messages)
        {
            if (message.IsWhole || message.Text.Length > 0)
            {
                history.Add(new LlamaMessage(message.Role, message.Text));
            }
        }
        return history;
    }

    private void Clear()
    {
        Messages.Clear();
        Failure = null;
        Status = "";
    }

    private void SetTurn(CancellationTokenSource? source)
    {
        turn = source;
        Raise(nameof(IsBusy));
        send.RaiseCanExecuteChanged();
        stop.RaiseCanExecuteChanged();
        clear.RaiseCanExecuteChanged();
    }

    private bool Set<T>(ref T field, T value, [CallerMemberName] string name = "")
    {
        if (EqualityComparer<T>.Default.Equals(field, value))
        {
            return false;
        }
        field = value;
        Raise(name);
        return true;
    }

    private void Raise(string name) => PropertyChanged?.Invoke(this, new PropertyChangedEventArgs(name));

    /// <summary>A button's action.</summary>
    private sealed class Command(Action action, Func<bool> canExecute) : ICommand
    {
        public event EventHandler? CanExecuteChanged;

        public bool CanExecute(object? parameter) => canExecute();

        public void Execute(object? parameter)
        {
            if (canExecute())
            {
                action();
            }
        }

        internal void RaiseCanExecuteChanged() => CanExecuteChanged?.Invoke(this, EventArgs.Empty);
    }
}

/// <summary>One message of a <see cref="ChatViewModel"/>.</summary>
public sealed class ChatMessageViewModel : INotifyPropertyChanged
{
    private bool isGrowing;
    private bool isWhole = true;

    internal ChatMessageViewModel(LlamaRole role, string text)
    {
        Role = role;
        Text = text;
    }

    /// <inheritdoc/>
    public event PropertyChangedEventHandler? PropertyChanged;

    /// <summary>Who said it.</summary>
    public LlamaRole Role { get; }

    /// <summary>Whether the user said it: for the side that it is shown on.</summary>
    public bool IsUser => Role == LlamaRole.User;

    /// <summary>The text so far.</summary>
    public string Text { get; private set; }

    /// <summary>Whether more is coming.</summary>
    public bool IsGrowing
    {
        get => isGrowing;
        internal set => Set(ref isGrowing, value, nameof(IsGrowing));
    }

    /// <summary>False: it was stopped, or failed, or there was no more room.</summary>
    public bool IsWhole
    {
        get => isWhole;
        internal set => Set(ref isWhole, value, nameof(IsWhole));
    }

    internal void Append(string piece)
    {
        Text += piece;
        PropertyChanged?.Invoke(this, new PropertyChangedEventArgs(nameof(Text)));
    }

    private void Set(ref bool field, bool value, string name)
    {
        if (field != value)
        {
            field = value;
            PropertyChanged?.Invoke(this, new PropertyChangedEventArgs(name));
        }
    }
}
