// A view model can be tested without a host: with a client and streams that are derived from the real ones.
using System.Runtime.CompilerServices;
using Xunit;

namespace LlamaIpc.Tests;

public class FakeTests
{
    [Fact]
    public async Task A_fake_client_answers_with_what_the_test_says()
    {
        await using LlamaClient client = new FakeClient("one ", "two");
        Assert.Equal("one two", await client.AskAsync("a question"));
        List<string> pieces = [];
        await foreach (string piece in client.StreamAsync("a question"))
        {
            pieces.Add(piece);
        }
        Assert.Equal(["one ", "two"], pieces);
        Assert.Equal("a fake", client.Status.Model);
    }

    [Fact]
    public async Task A_fake_can_fail_as_a_host_does()
    {
        using LlamaClient client = new FakeClient("half ")
        {
            Failure = new HostGoneException("The host was killed.") { PartialResponse = "half " },
        };
        HostGoneException e = await Assert.ThrowsAsync<HostGoneException>(() => client.AskAsync("a question"));
        Assert.Equal("half ", e.PartialResponse);
        using LlamaClient full = new FakeClient("half ") { End = LlamaEnd.Context };
        AnswerTruncatedException cut = await Assert.ThrowsAsync<AnswerTruncatedException>(() => full.AskAsync("a question"));
        Assert.Equal(LlamaEnd.Context, cut.End);
    }

    [Fact]
    public void A_role_is_one_whatever_its_case()
    {
        Assert.Equal(LlamaRole.User, (LlamaRole)"User");
        Assert.Equal(LlamaMessage.User("x"), new LlamaMessage("USER", "x"));
        Assert.NotEqual(LlamaRole.User, LlamaRole.Assistant);
        Assert.Equal("assistant", $"{LlamaRole.Assistant}");
    }

    private sealed class FakeClient(params string[] pieces) : LlamaClient
    {
        internal Exception? Failure { get; init; }

        internal LlamaEnd End { get; init; } = LlamaEnd.Turn;

        public override LlamaHostStatus Status => new() { State = LlamaHostState.Ready, Model = "a fake" };

        public override LlamaStream OpenStream(LlamaRequest request) => new FakeStream(pieces, End, Failure);
    }

    private sealed class FakeStream(string[] pieces, LlamaEnd end, Exception? failure) : LlamaStream
    {
        private LlamaResult? result;

        public override LlamaResult? Result => result;

        public override string Text => string.Concat(pieces);

        public override async IAsyncEnumerable<string> ReadAllAsync(
            [EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            foreach (string piece in pieces)
            {
                await Task.Yield();
                yield return piece;
            }
            if (failure != null)
            {
                throw failure;
            }
            result = new LlamaResult { Text = Text, End = end, IsTruncated = end == LlamaEnd.Context };
        }
    }
}
