// A request becomes the same document in C#, which writes JSON with its own library, as with the functions of liblipc.
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using LlamaIpc.Native;
using Xunit;

namespace LlamaIpc.Tests;

public class DocumentTests
{
    private const string Text = "6 \"x\" 7?\n\t\u0001 \\ / Grüße 🚀 </script>";
    private const string Schema = """{"type":"object","properties":{"ü":{"type":"integer"}},"required":["ü"]}""";

    [Fact]
    public void A_conversation_with_everything_becomes_the_document_that_liblipc_writes()
    {
        LlamaCall[] calls = [new("c1", "calc", """{"x": 1}"""), new("c2", "now", "{}")];
        LlamaRequest request = new(
            LlamaMessage.System("Be brief."),
            new LlamaMessage(LlamaRole.Developer, ""),
            LlamaMessage.User(Text),
            new LlamaMessage(LlamaRole.Assistant, "") { Thought = "Hm", Calls = calls },
            LlamaMessage.ToolResult("c1", "calc", "42"),
            LlamaMessage.Assistant("It is"))
        {
            Tools = [new LlamaTool("calc", "Counts.", Schema), new LlamaTool("now")],
            ToolChoice = "calc",
            ParallelToolCalls = true,
            JsonSchema = Schema,
            Thinking = false,
            ReasoningEffort = "low",
            ThinkingBudget = 100,
            ContinueLastMessage = true,
        };
        using NativeDocument document = new();
        document.Call("add_message", "system", "Be brief.");
        document.Call("add_message", "developer", "");
        document.Call("add_message", "user", Text);
        document.Call("add_message", "assistant", "");
        document.Call("add_thought", "Hm");
        document.Call("add_call", "c1", "calc", """{"x": 1}""");
        document.Call("add_call", "c2", "now", "{}");
        document.Call("add_result", "c1", "calc", "42");
        document.Call("add_message", "assistant", "It is");
        document.Call("add_tool", "calc", "Counts.", Schema);
        document.Call("add_tool", "now", null, null);
        document.Call("set_tool_choice", "calc");
        document.Call("set_parallel_calls", 1);
        document.Call("set_schema", Schema);
        document.Call("set_thinking", 0);
        document.Call("set_effort", "low");
        document.Call("set_thinking_budget", 100);
        document.Call("set_continue", 1);
        AssertSame(document, request);
    }

    [Theory]
    [InlineData("auto")]
    [InlineData("none")]
    [InlineData("required")]
    public void A_choice_of_tools_that_is_a_word_stays_one(string choice)
    {
        using NativeDocument document = new();
        document.Call("add_message", "user", "x");
        document.Call("set_tool_choice", choice);
        document.Call("set_parallel_calls", 0);
        AssertSame(document, new LlamaRequest("x") { ToolChoice = choice, ParallelToolCalls = false });
    }

    [Fact]
    public void A_raw_prompt_has_no_messages()
    {
        using NativeDocument document = new();
        document.Call("set_prompt", Text);
        document.Call("set_thinking", 1);
        AssertSame(document, new LlamaRequest { RawPrompt = Text, Thinking = true });
    }

    /// <summary>The same members with the same values; their order means nothing.</summary>
    private static void AssertSame(NativeDocument expected, LlamaRequest request)
    {
        string here = RequestDocument.Of(request)!;
        string native = expected.Json;
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(native), JsonNode.Parse(here)), $"liblipc: {native}\nC#: {here}");
    }

    /// <summary>lipc_document, which the library itself does not use.</summary>
    private sealed unsafe class NativeDocument : IDisposable
    {
        private static readonly IntPtr Library = NativeLibraryResolver.Load(typeof(NativeMethods).Assembly, searchPath: null);
        private readonly IntPtr document;

        internal NativeDocument()
        {
            IntPtr made;
            Check(((delegate* unmanaged[Cdecl]<IntPtr*, int>)Function("new"))(&made));
            document = made;
        }

        internal string Json =>
            Marshal.PtrToStringUTF8(((delegate* unmanaged[Cdecl]<IntPtr, IntPtr>)Function("json"))(document))!;

        internal void Call(string name, int number) =>
            Check(((delegate* unmanaged[Cdecl]<IntPtr, int, int>)Function(name))(document, number));

        /// <summary>With up to three texts; in this calling convention those that a function does not take do no harm.</summary>
        internal void Call(string name, params string?[] texts)
        {
            IntPtr[] words = [.. Enumerable.Range(0, 3).Select(i => Marshal.StringToCoTaskMemUTF8(texts.ElementAtOrDefault(i)))];
            Check(((delegate* unmanaged[Cdecl]<IntPtr, IntPtr, IntPtr, IntPtr, int>)Function(name))(
                document, words[0], words[1], words[2]));
            Array.ForEach(words, Marshal.FreeCoTaskMem);
        }

        public void Dispose() => ((delegate* unmanaged[Cdecl]<IntPtr, void>)Function("free"))(document);

        private static IntPtr Function(string name) => NativeLibrary.GetExport(Library, "lipc_document_" + name);

        private static void Check(int error) => Assert.Equal(0, error);
    }
}
