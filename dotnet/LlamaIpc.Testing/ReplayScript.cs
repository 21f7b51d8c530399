// What a host plays in place of a model's answers.
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace LlamaIpc.Testing;

/// <summary>
/// A script of answers. The first answer is for a conversation in which the model has said nothing yet, the second for one
/// with one message of the assistant, and so on; the last one stays for longer conversations.
/// </summary>
public sealed class ReplayScript
{
    private readonly StringBuilder lines = new("lipc replay 1\n");

    /// <summary>A script of one answer that is only text.</summary>
    /// <param name="text">The text.</param>
    public static ReplayScript OfText(string text) => new ReplayScript().Answer().Text(text);

    /// <summary>How long the model takes to load; to be said first.</summary>
    /// <param name="time">The time.</param>
    public ReplayScript Loads(TimeSpan time) => Line("loads", Milliseconds(time));

    /// <summary>Begins the next answer.</summary>
    public ReplayScript Answer() => Line("answer");

    /// <summary>A piece of text, each word a token with the white space before it.</summary>
    /// <param name="text">The text.</param>
    public ReplayScript Text(string text)
    {
        foreach (string token in Tokens(text))
        {
            Token(token);
        }
        return this;
    }

    /// <summary>One token of text.</summary>
    /// <param name="text">Its text.</param>
    public ReplayScript Token(string text) => Line("text", Quote(text));

    /// <summary>What the model thinks before it answers, each word a token.</summary>
    /// <param name="text">The thought.</param>
    public ReplayScript Thought(string text)
    {
        foreach (string token in Tokens(text))
        {
            Line("thought", Quote(token));
        }
        return this;
    }

    /// <summary>The call of a tool.</summary>
    /// <param name="name">The tool.</param>
    /// <param name="arguments">A JSON object.</param>
    /// <param name="id">The id that its result refers to; empty: the host makes one.</param>
    public ReplayScript Call(string name, string arguments = "{}", string id = "") =>
        Line("call", Quote(id), Quote(name)).Line("arguments", Quote(arguments));

    /// <summary>Nothing for a while.</summary>
    /// <param name="time">How long.</param>
    public ReplayScript Pause(TimeSpan time) => Line("pause", Milliseconds(time));

    /// <summary>
    /// The process that makes the answer dies here. The host starts another, and the answer goes on: its reader sees a pause.
    /// </summary>
    /// <param name="always">Whether the next one dies here, too, until the host gives up.</param>
    public ReplayScript Crash(bool always = false) => always ? Line("crash", "always") : Line("crash");

    /// <summary>The answer ends as a model ends it; so it does without this at the end of what was said of it.</summary>
    public ReplayScript End() => Line("end");

    /// <summary>The answer ends because there is no more room in the context.</summary>
    public ReplayScript EndOfContext() => Line("end", "context");

    /// <summary>The answer ends because the model failed.</summary>
    /// <param name="why">The reason, which is in the exception's message.</param>
    public ReplayScript Fail(string why) => Line("end", "failed", Quote(why));

    /// <summary>The script as the host reads it: <c>chatbot --replay FILE</c>.</summary>
    public override string ToString() => lines.ToString();

    private ReplayScript Line(params string[] words)
    {
        lines.Append(string.Join(" ", words)).Append('\n');
        return this;
    }

    private static string Milliseconds(TimeSpan time) =>
        ((long)time.TotalMilliseconds).ToString(CultureInfo.InvariantCulture);

    private static string Quote(string text)
    {
        if (text is null)
        {
            throw new ArgumentNullException(nameof(text));
        }
        return "\"" + JsonEncodedText.Encode(text) + "\"";
    }

    /// <summary>Words with the white space before them.</summary>
    private static IEnumerable<string> Tokens(string text)
    {
        int start = 0;
        for (int i = 1; i < text.Length; i++)
        {
            if (char.IsWhiteSpace(text[i]) && !char.IsWhiteSpace(text[i - 1]))
            {
                yield return text.Substring(start, i - start);
                start = i;
            }
        }
        if (start < text.Length)
        {
            yield return text.Substring(start);
        }
    }
}
