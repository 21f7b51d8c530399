// Members that .NET has got since netstandard2.0, in the same form, so that the code has one form for all targets.
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading.Channels;

namespace LlamaIpc;

/// <summary>A piece of work that the pool runs.</summary>
internal interface IThreadPoolWorkItem
{
    void Execute();
}

/// <summary>A task without a result that is ended by hand.</summary>
internal sealed class TaskCompletionSource(TaskCreationOptions options) : TaskCompletionSource<bool>(options)
{
    internal void SetResult() => SetResult(true);

    internal bool TrySetResult() => TrySetResult(true);
}

/// <summary>Memory outside of the managed heap.</summary>
internal static unsafe class NativeMemory
{
    internal static void* Alloc(nuint size) => (void*)Marshal.AllocHGlobal(checked((nint)size));

    internal static void Free(void* block) => Marshal.FreeHGlobal((IntPtr)block);
}

/// <summary>The operating system that the process runs on.</summary>
internal static class OperatingSystem
{
    internal static bool IsWindows() => RuntimeInformation.IsOSPlatform(OSPlatform.Windows);

    internal static bool IsMacOS() => RuntimeInformation.IsOSPlatform(OSPlatform.OSX);
}

internal static class CheckAdditions
{
    extension(ArgumentNullException)
    {
        internal static void ThrowIfNull(object? value, [CallerArgumentExpression(nameof(value))] string? parameter = null)
        {
            if (value is null)
            {
                throw new ArgumentNullException(parameter);
            }
        }
    }

    extension(ArgumentException)
    {
        internal static void ThrowIfNullOrEmpty(
            string? value, [CallerArgumentExpression(nameof(value))] string? parameter = null)
        {
            ArgumentNullException.ThrowIfNull(value, parameter);
            if (value!.Length == 0)
            {
                throw new ArgumentException("The value cannot be an empty string.", parameter);
            }
        }
    }

    extension(ArgumentException)
    {
        internal static void ThrowIfNullOrWhiteSpace(
            string? value, [CallerArgumentExpression(nameof(value))] string? parameter = null)
        {
            ArgumentException.ThrowIfNullOrEmpty(value, parameter);
            if (string.IsNullOrWhiteSpace(value))
            {
                throw new ArgumentException("The value cannot consist of white space alone.", parameter);
            }
        }
    }

    extension(ArgumentOutOfRangeException)
    {
        internal static void ThrowIfNegative(
            long value, [CallerArgumentExpression(nameof(value))] string? parameter = null)
        {
            if (value < 0)
            {
                throw new ArgumentOutOfRangeException(parameter, value, "The value must not be negative.");
            }
        }
    }

    extension(ObjectDisposedException)
    {
        internal static void ThrowIf(bool condition, object instance) =>
            ObjectDisposedException.ThrowIf(condition, instance.GetType());

        internal static void ThrowIf(bool condition, Type type)
        {
            if (condition)
            {
                throw new ObjectDisposedException(type.FullName);
            }
        }
    }
}

internal static class TaskAdditions
{
    extension(ValueTask)
    {
        internal static ValueTask CompletedTask => default;
    }

    extension(ThreadPool)
    {
        internal static void UnsafeQueueUserWorkItem(IThreadPoolWorkItem item, bool preferLocal)
        {
            _ = preferLocal;
            ThreadPool.UnsafeQueueUserWorkItem(static item => ((IThreadPoolWorkItem)item).Execute(), item);
        }
    }

    extension(Task task)
    {
        internal bool IsCompletedSuccessfully => task.Status == TaskStatus.RanToCompletion;
    }

    /// <summary>Ends the task's waiting, and not the task, when the token is cancelled.</summary>
    internal static async Task<T> WaitAsync<T>(this Task<T> task, CancellationToken cancellationToken)
    {
        await ((Task)task).WaitAsync(Timeout.InfiniteTimeSpan, cancellationToken).ConfigureAwait(false);
        return await task.ConfigureAwait(false);
    }

    internal static async Task WaitAsync(this Task task, TimeSpan limit, CancellationToken cancellationToken)
    {
        using CancellationTokenSource done = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task first = await Task.WhenAny(task, Task.Delay(limit, done.Token)).ConfigureAwait(false);
        if (first != task)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new TimeoutException();
        }
        done.Cancel(); // the clock
        await task.ConfigureAwait(false);
    }

    /// <summary>Cancels; what was registered runs in the pool.</summary>
    internal static Task CancelAsync(this CancellationTokenSource source) => Task.Run(source.Cancel);

    /// <summary>Starts the thread without the caller's execution context.</summary>
    internal static void UnsafeStart(this Thread thread)
    {
        if (ExecutionContext.IsFlowSuppressed())
        {
            thread.Start();
            return;
        }
        using (ExecutionContext.SuppressFlow())
        {
            thread.Start();
        }
    }

    /// <summary>Registers without the caller's execution context.</summary>
    internal static CancellationTokenRegistration UnsafeRegister(
        this CancellationToken token, Action<object?> callback, object? state)
    {
        if (ExecutionContext.IsFlowSuppressed())
        {
            return token.Register(callback, state);
        }
        using (ExecutionContext.SuppressFlow())
        {
            return token.Register(callback, state);
        }
    }

    /// <summary>All items, until the channel is completed.</summary>
    internal static async IAsyncEnumerable<T> ReadAllAsync<T>(
        this ChannelReader<T> reader, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        while (await reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
        {
            while (reader.TryRead(out T? item))
            {
                yield return item;
            }
        }
    }
}

internal static unsafe class TextAdditions
{
    extension(Marshal)
    {
        internal static string? PtrToStringUTF8(IntPtr text)
        {
            if (text == IntPtr.Zero)
            {
                return null;
            }
            byte* bytes = (byte*)text;
            int length = 0;
            while (bytes[length] != 0)
            {
                length++;
            }
            return Encoding.UTF8.GetString(bytes, length);
        }
    }

    internal static bool Contains(this string text, char wanted) => text.IndexOf(wanted) >= 0;

    internal static bool Contains(this string text, string wanted, StringComparison comparison) =>
        text.IndexOf(wanted, comparison) >= 0;

    internal static string Replace(this string text, string old, string wanted, StringComparison comparison) =>
        comparison == StringComparison.Ordinal ? text.Replace(old, wanted) : throw new NotSupportedException();

    internal static int GetHashCode(this string text, StringComparison comparison) =>
        comparison == StringComparison.Ordinal ? text.GetHashCode() : throw new NotSupportedException();

    internal static string[] Split(this string text, char separator, StringSplitOptions options) =>
        text.Split([separator], options);

    // The .NET Framework takes no pointer to nothing, which is what an empty span gives.
    internal static int GetBytes(this Encoding encoding, string text, Span<byte> bytes)
    {
        if (text.Length == 0)
        {
            return 0;
        }
        fixed (char* from = text)
        {
            fixed (byte* to = bytes)
            {
                return encoding.GetBytes(from, text.Length, to, bytes.Length);
            }
        }
    }

    internal static string GetString(this Encoding encoding, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length == 0)
        {
            return "";
        }
        fixed (byte* from = bytes)
        {
            return encoding.GetString(from, bytes.Length);
        }
    }

    internal static int GetChars(this Encoding encoding, ReadOnlySpan<byte> bytes, Span<char> chars)
    {
        if (bytes.Length == 0)
        {
            return 0;
        }
        fixed (byte* from = bytes)
        {
            fixed (char* to = chars)
            {
                return encoding.GetChars(from, bytes.Length, to, chars.Length);
            }
        }
    }
}

internal static class OtherAdditions
{
    extension(Stopwatch)
    {
        internal static TimeSpan GetElapsedTime(long start) =>
            TimeSpan.FromSeconds((Stopwatch.GetTimestamp() - start) / (double)Stopwatch.Frequency);
    }

    extension(Math)
    {
        internal static double Clamp(double value, double least, double most) => Math.Min(Math.Max(value, least), most);
    }

    extension(Environment)
    {
        internal static int ProcessId
        {
            get
            {
                using Process own = Process.GetCurrentProcess();
                return own.Id;
            }
        }
    }

    extension(Enum)
    {
        internal static bool IsDefined<T>(T value)
            where T : struct, Enum => Enum.IsDefined(typeof(T), value);
    }

    extension(ProcessStartInfo start)
    {
        internal ArgumentList ArgumentList => new(start);
    }

    extension(Path)
    {
        internal static string GetFullPath(string path, string folder) => Path.GetFullPath(Path.Combine(folder, path));
    }

    internal static IEnumerable<T> TakeLast<T>(this IReadOnlyList<T> list, int count) =>
        list.Skip(Math.Max(0, list.Count - count));

    internal static TValue? GetValueOrDefault<TKey, TValue>(this Dictionary<TKey, TValue> dictionary, TKey key) =>
        dictionary.TryGetValue(key, out TValue? value) ? value : default;

    internal static TValue GetValueOrDefault<TKey, TValue>(
        this Dictionary<TKey, TValue> dictionary, TKey key, TValue otherwise) =>
        dictionary.TryGetValue(key, out TValue? value) ? value : otherwise;

    internal static void Deconstruct<TKey, TValue>(this KeyValuePair<TKey, TValue> pair, out TKey key, out TValue value) =>
        (key, value) = (pair.Key, pair.Value);
}
