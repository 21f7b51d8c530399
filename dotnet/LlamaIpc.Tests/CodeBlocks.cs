// C# code blocks of Markdown files, and whether a source file contains them word for word.
using System.Text.RegularExpressions;
using Xunit;

namespace LlamaIpc.Tests;

internal static partial class CodeBlocks
{
    /// <summary>
    /// Fails unless each C# block of a document stands in a source file of the tests, indentation aside.
    /// </summary>
    internal static void AssertCompiled(string documentPath, string sourceFile, int expectedBlocks)
    {
        string source = Normalize(
            File.ReadAllText(Path.Combine(TestEnvironment.Root, "dotnet", "LlamaIpc.Tests", sourceFile)));
        MatchCollection blocks = CSharpBlock().Matches(File.ReadAllText(documentPath));
        Assert.Equal(expectedBlocks, blocks.Count);
        Assert.All(blocks, block => Assert.Contains(Normalize(block.Groups[1].Value), source, StringComparison.Ordinal));
    }

    private static string Normalize(string text) =>
        string.Join('\n', text.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0));

    [GeneratedRegex(@"```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex CSharpBlock();
}
