// Strings on their way to the native library.
using System.Runtime.InteropServices;
using System.Text;

namespace LlamaIpc.Native;

/// <summary>
/// Zero-terminated UTF-8 copies of strings, and arrays of them, which live until this is disposed. The text is passed
/// on exactly or not at all: what UTF-8 or a terminating zero cannot carry is refused.
/// </summary>
internal sealed unsafe class NativeText : IDisposable
{
    private static readonly UTF8Encoding Exact = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly List<IntPtr> blocks = [];

    public void Dispose()
    {
        foreach (IntPtr block in blocks)
        {
            NativeMemory.Free((void*)block);
        }
        blocks.Clear();
    }

    /// <summary>A copy of a string; null for null.</summary>
    /// <exception cref="ArgumentException">It holds U+0000 or half a surrogate pair.</exception>
    internal byte* Add(string? text, string parameter)
    {
        if (text is null)
        {
            return null;
        }
        if (text.Contains('\0'))
        {
            throw new ArgumentException("The text cannot contain the character U+0000.", parameter);
        }
        try
        {
            int length = Exact.GetByteCount(text);
            byte* copy = (byte*)Allocate((nuint)length + 1);
            copy[Exact.GetBytes(text, new Span<byte>(copy, length))] = 0;
            return copy;
        }
        catch (EncoderFallbackException e)
        {
            throw new ArgumentException(
                $"The text holds half a surrogate pair at place {e.Index}, which is no character.", parameter, e);
        }
    }

    /// <summary>Copies of several strings, and a null behind the last.</summary>
    internal byte** Add(IReadOnlyList<string> texts, string parameter)
    {
        byte** copies = (byte**)Allocate((nuint)(texts.Count + 1) * (nuint)sizeof(byte*));
        for (int i = 0; i < texts.Count; i++)
        {
            ArgumentNullException.ThrowIfNull(texts[i], parameter);
            copies[i] = Add(texts[i], parameter);
        }
        copies[texts.Count] = null;
        return copies;
    }

    /// <summary>Room for so many messages.</summary>
    internal LipcMessage* AddMessages(int count) => (LipcMessage*)Allocate((nuint)count * (nuint)sizeof(LipcMessage));

    /// <summary>The parameters as the library takes them.</summary>
    internal LipcParameter* Add(ParameterList list)
    {
        LipcParameter* native = (LipcParameter*)Allocate((nuint)list.Count * (nuint)sizeof(LipcParameter));
        for (int i = 0; i < list.Count; i++)
        {
            (string name, double number, string? value) = list[i];
            native[i] = new() { Name = Add(name, name), Number = number, Text = Add(value, name) };
        }
        return native;
    }

    private void* Allocate(nuint size)
    {
        void* block = NativeMemory.Alloc(size);
        blocks.Add((IntPtr)block);
        return block;
    }
}
