// As much of WPF and Windows Forms as the window examples use, so that they compile and run where there is no Windows
// desktop. Like the real ones, the elements belong to the thread that made them and refuse all others. Nothing is
// drawn.
using System.Collections.Concurrent;

namespace LlamaIpc.Tests
{
    /// <summary>A thread with a message loop, such as the one of a user interface.</summary>
    public sealed class UiThread : SynchronizationContext, IDisposable
    {
        private readonly BlockingCollection<Action> messages = [];
        private readonly Thread thread;
        private readonly ConcurrentQueue<Exception> unhandled = new();

        /// <summary>Starts the thread.</summary>
        public UiThread()
        {
            thread = new Thread(Loop) { IsBackground = true, Name = "user interface" };
            thread.Start();
        }

        /// <summary>What escaped from messages.</summary>
        public IReadOnlyCollection<Exception> Unhandled => unhandled;

        /// <summary>The managed id of the thread.</summary>
        public int ThreadId => thread.ManagedThreadId;

        /// <inheritdoc/>
        public override void Post(SendOrPostCallback d, object? state)
        {
            try
            {
                messages.Add(() => d(state));
            }
            catch (InvalidOperationException)
            {
                // The window is closed: like the real ones, it drops what comes later.
            }
        }

        /// <inheritdoc/>
        public override void Send(SendOrPostCallback d, object? state) => Run(() => d(state));

        /// <summary>Runs something on the thread and waits for it.</summary>
        public void Run(Action action)
        {
            if (Environment.CurrentManagedThreadId == ThreadId)
            {
                action();
                return;
            }
            InvokeAsync(action).GetAwaiter().GetResult();
        }

        /// <summary>Runs something on the thread.</summary>
        public Task InvokeAsync(Action action)
        {
            TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
            messages.Add(() =>
            {
                try
                {
                    action();
                    done.SetResult();
                }
                catch (Exception e)
                {
                    done.SetException(e);
                }
            });
            return done.Task;
        }

        /// <summary>Ends the thread; what is posted from now on is dropped.</summary>
        public void Dispose()
        {
            messages.CompleteAdding();
            thread.Join();
        }

        private void Loop()
        {
            SetSynchronizationContext(this);
            foreach (Action message in messages.GetConsumingEnumerable())
            {
                try
                {
                    message();
                }
                catch (Exception e)
                {
                    unhandled.Enqueue(e);
                }
            }
        }
    }

    /// <summary>Something that belongs to the thread that made it.</summary>
    public abstract class ThreadBound
    {
        private readonly int owner = Environment.CurrentManagedThreadId;

        /// <summary>Throws on any other thread.</summary>
        protected void VerifyAccess()
        {
            if (Environment.CurrentManagedThreadId != owner)
            {
                throw new InvalidOperationException("The calling thread cannot access this object: another thread owns it.");
            }
        }

        /// <summary>Reads a value on the owning thread.</summary>
        protected T Get<T>(ref T field)
        {
            VerifyAccess();
            return field;
        }

        /// <summary>Writes a value on the owning thread.</summary>
        protected void Set<T>(ref T field, T value)
        {
            VerifyAccess();
            field = value;
        }
    }
}

namespace System.Windows
{
    using LlamaIpc.Tests;

    /// <summary>Arguments of a routed event.</summary>
    public class RoutedEventArgs : EventArgs;

    /// <summary>A handler of a routed event.</summary>
    public delegate void RoutedEventHandler(object sender, RoutedEventArgs e);

    /// <summary>Brings calls to the thread of a window.</summary>
    public sealed class Dispatcher(SynchronizationContext? context)
    {
        /// <summary>Runs something on the window's thread and waits for it. There is no input here that it could come behind.</summary>
        public void Invoke(Action callback, Threading.DispatcherPriority priority = Threading.DispatcherPriority.Normal)
        {
            _ = priority;
            if (context is null)
            {
                callback();
            }
            else
            {
                context.Send(static action => ((Action)action!)(), callback);
            }
        }
    }

    /// <summary>A window.</summary>
    public class Window : ThreadBound
    {
        /// <summary>Raised when the window is there.</summary>
        public event RoutedEventHandler? Loaded;

        /// <summary>Raised when the window has been closed.</summary>
        public event EventHandler? Closed;

        /// <summary>The dispatcher of the thread that made the window.</summary>
        public Dispatcher Dispatcher { get; } = new(SynchronizationContext.Current);

        /// <summary>Shows the window.</summary>
        public void Show()
        {
            VerifyAccess();
            Loaded?.Invoke(this, new RoutedEventArgs());
        }

        /// <summary>Closes the window.</summary>
        public void Close()
        {
            VerifyAccess();
            Closed?.Invoke(this, EventArgs.Empty);
        }
    }
}

namespace System.Windows.Controls
{
    using LlamaIpc.Tests;

    /// <summary>A text box.</summary>
    public class TextBox : ThreadBound
    {
        private string text = "";

        /// <summary>The text.</summary>
        public string Text { get => Get(ref text); set => Set(ref text, value); }

        /// <summary>Adds to the text.</summary>
        public void AppendText(string added) => Text += added;

        /// <summary>Empties it.</summary>
        public void Clear() => Text = "";

        /// <summary>Shows its end.</summary>
        public void ScrollToEnd() => VerifyAccess();
    }

    /// <summary>A label, as the guide uses it: with a text.</summary>
    public class Label : ThreadBound
    {
        private string text = "";

        /// <summary>The text.</summary>
        public string Text { get => Get(ref text); set => Set(ref text, value); }
    }

    /// <summary>A button.</summary>
    public class Button : ThreadBound
    {
        private bool isEnabled = true;

        /// <summary>Raised when the button is clicked.</summary>
        public event RoutedEventHandler? Click;

        /// <summary>Whether the button can be clicked.</summary>
        public bool IsEnabled { get => Get(ref isEnabled); set => Set(ref isEnabled, value); }

        /// <summary>Clicks the button.</summary>
        public void PerformClick() => Click?.Invoke(this, new RoutedEventArgs());
    }
}

namespace System.Windows.Forms
{
    using LlamaIpc.Tests;

    /// <summary>Where a control sticks.</summary>
    public enum DockStyle
    {
        /// <summary>At the upper edge.</summary>
        Top,

        /// <summary>At the lower edge.</summary>
        Bottom,

        /// <summary>In what the others leave.</summary>
        Fill,
    }

    /// <summary>The arguments of a closed form.</summary>
    public class FormClosedEventArgs : EventArgs;

    /// <summary>A handler of a closed form.</summary>
    public delegate void FormClosedEventHandler(object? sender, FormClosedEventArgs e);

    /// <summary>Something in a form.</summary>
    public class Control : ThreadBound
    {
        private string text = "";
        private bool enabled = true;

        /// <summary>Raised when the control is clicked.</summary>
        public event EventHandler? Click;

        /// <summary>The text.</summary>
        public string Text { get => Get(ref text); set => Set(ref text, value); }

        /// <summary>Whether the control can be used.</summary>
        public bool Enabled { get => Get(ref enabled); set => Set(ref enabled, value); }

        /// <summary>Where the control sticks.</summary>
        public DockStyle Dock { get; set; }

        /// <summary>Width in pixels.</summary>
        public int Width { get; set; }

        /// <summary>Height in pixels.</summary>
        public int Height { get; set; }

        /// <summary>Whether the Tab key leads there.</summary>
        public bool TabStop { get; set; } = true;

        /// <summary>The controls inside this one.</summary>
        public ControlCollection Controls { get; } = [];

        /// <summary>Clicks the control.</summary>
        public void PerformClick() => Click?.Invoke(this, EventArgs.Empty);
    }

    /// <summary>Controls of a form.</summary>
    public sealed class ControlCollection : List<Control>
    {
        /// <summary>Adds controls.</summary>
        public void AddRange(Control[] controls) => base.AddRange(controls);
    }

    /// <summary>A text box.</summary>
    public class TextBox : Control
    {
        /// <summary>Whether there may be several lines.</summary>
        public bool Multiline { get; set; }

        /// <summary>Whether the user may not write.</summary>
        public bool ReadOnly { get; set; }

        /// <summary>Adds to the text.</summary>
        public void AppendText(string added) => Text += added;

        /// <summary>Empties it.</summary>
        public void Clear() => Text = "";
    }

    /// <summary>A button.</summary>
    public class Button : Control;

    /// <summary>A label.</summary>
    public class Label : Control;

    /// <summary>A form.</summary>
    public class Form : Control, IDisposable
    {
        /// <summary>Raised when the form has been shown.</summary>
        public event EventHandler? Shown;

        /// <summary>Raised when the form has been closed.</summary>
        public event FormClosedEventHandler? FormClosed;

        /// <summary>Shows the form.</summary>
        public void Show() => Shown?.Invoke(this, EventArgs.Empty);

        /// <summary>Closes the form.</summary>
        public void Close() => FormClosed?.Invoke(this, new FormClosedEventArgs());

        /// <inheritdoc/>
        public void Dispose() => GC.SuppressFinalize(this);
    }
}

namespace WpfExample
{
    using System.Windows.Controls;

    /// <summary>What MainWindow.xaml makes of the window; the names and handlers are those of that file.</summary>
    public partial class MainWindow
    {
        internal readonly TextBox UserInputTextBox = new() { Text = "What is C++?" };
        internal readonly TextBox ResponseTextBox = new();
        internal readonly Label ProgressLabel = new() { Text = "Ready" };
        internal readonly Button SendButton = new();
        internal readonly Button CancelButton = new() { IsEnabled = false };

        private void InitializeComponent()
        {
            SendButton.Click += SendButton_Click;
            CancelButton.Click += CancelButton_Click;
        }
    }
}

namespace System.Windows.Threading
{
    /// <summary>What comes first on the thread of a window.</summary>
    public enum DispatcherPriority
    {
        /// <summary>Behind keys, clicks and drawing.</summary>
        Background,

        /// <summary>Before them.</summary>
        Normal,
    }
}
