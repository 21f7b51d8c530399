// Parts of the library that need no host.
using System.Text;
using LlamaIpc.Native;
using Xunit;

namespace LlamaIpc.Tests;

public class PartTests
{
    [Fact]
    public void The_native_library_is_found_and_says_its_version()
    {
        Assert.Matches(@"^\d+\.\d+\.\d+$", LlamaCppStreamingClient.NativeLibraryVersion);
        Assert.Contains(NativeLibraryResolver.Candidates(), File.Exists);
    }

    [Fact]
    public void A_growing_answer_keeps_its_earlier_states()
    {
        List<AnswerText> states = [default];
        StringBuilder expected = new();
        List<string> texts = [""];
        for (int i = 0; i < 2000; i++)
        {
            string piece = i % 3 == 0 ? "🎉ä" : $"{i} ";
            states.Add(states[^1].Append(Encoding.UTF8.GetBytes(piece)));
            texts.Add(expected.Append(piece).ToString());
        }
        Assert.Equal(texts, states.Select(state => state.Substring(0)));
    }

    [Fact]
    public void Merged_updates_hold_the_new_text_of_both()
    {
        AnswerText one = default(AnswerText).Append("one "u8);
        AnswerText two = one.Append("two "u8);
        AnswerText three = two.Append("three"u8);
        StreamUpdateEventArgs second = new(two, one.Length, 2, false, false);
        StreamUpdateEventArgs third = new(three, two.Length, 3, true, true);
        StreamUpdateEventArgs merged = third.Absorb(second);
        Assert.Equal("two three", merged.NewText);
        Assert.Equal("one two three", merged.PartialResponse);
        Assert.Equal(3, merged.TokensGenerated);
        Assert.True(merged.IsComplete);
        Assert.True(merged.PromptWasCut);
    }

    [Fact]
    public void The_tail_keeps_the_last_lines_and_cuts_long_ones()
    {
        string text = string.Join("\n", Enumerable.Range(0, 100)) + "\r\n" + new string('x', 100_000) + "\nunfinished";
        LineTail tail = new(new StringReader(text), "tail");
        Assert.True(tail.WaitForEnd(60_000));
        Assert.Equal(LineTail.MaxLines, tail.Lines.Count);
        Assert.Equal("unfinished", tail.Lines[^1]);
        Assert.Equal(LineTail.MaxLineLength, tail.Lines[^2].Length);
        Assert.Equal("99", tail.Lines[^3]);
    }

    [Fact]
    public void Options_that_make_no_sense_are_refused()
    {
        LlamaCppClientOptions[] wrong =
        [
            new() { ExecutablePath = "" },
            new() { ConnectTimeout = TimeSpan.FromSeconds(-5) },
            new() { RequestTimeout = TimeSpan.FromSeconds(-5) },
            new() { AttachToRunningHost = (HostAttachMode)9 },
            new() { UpdatesPerSecond = -1 },
            new() { ExtraArguments = null! },
        ];
        foreach (LlamaCppClientOptions options in wrong)
        {
            using LlamaCppStreamingClient client = new();
            Assert.ThrowsAny<ArgumentException>(() => client.Initialize(options));
        }
    }

    [Fact]
    public void A_deadline_counts_down_and_rounds_up()
    {
        Assert.Equal(-1, Deadline.In(Timeout.InfiniteTimeSpan).RemainingMs);
        Assert.Equal(0, Deadline.In(TimeSpan.Zero).RemainingMs);
        Assert.InRange(Deadline.In(TimeSpan.FromHours(1)).RemainingMs, 3_000_000, 3_600_000);
        Assert.Equal(int.MaxValue, Deadline.In(TimeSpan.FromDays(1000)).RemainingMs);
    }
}
