// Every C# example of the pages for C# programmers is compiled as it stands, with the `using` lines that it shows.
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Xunit;
using static LlamaIpc.Tests.TestEnvironment;

namespace LlamaIpc.Tests;

public partial class PageTests
{
    /// <summary>What the project file of `dotnet new console` makes the compiler add.</summary>
    private const string ImplicitUsings = """
        global using System;
        global using System.Collections.Generic;
        global using System.IO;
        global using System.Linq;
        global using System.Net.Http;
        global using System.Threading;
        global using System.Threading.Tasks;
        """;

    /// <summary>The assemblies that this process runs with: those of .NET, of the packages, and the windows' stand-ins.</summary>
    private static readonly MetadataReference[] References =
        [.. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Where(path => !Path.GetFileName(path).StartsWith("CSharpStreamingExample", StringComparison.Ordinal))
            .Select(path => MetadataReference.CreateFromFile(path))];

    public static TheoryData<string> Pages()
    {
        TheoryData<string> pages = [];
        foreach (string page in Directory.GetFiles(Path.Combine(Root, "docs", "dotnet"), "*.md").Order())
        {
            pages.Add(Path.GetRelativePath(Root, page));
        }
        pages.Add("README.md");
        pages.Add("dotnet/LlamaIpc.Extensions.AI/README.md");
        pages.Add("dotnet/LlamaIpc.Testing/README.md");
        return pages;
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public void Every_example_of_a_page_compiles(string page)
    {
        foreach (Match block in CSharpBlock().Matches(File.ReadAllText(Path.Combine(Root, page))))
        {
            string code = block.Groups[1].Value;
            SyntaxTree[] trees = [CSharpSyntaxTree.ParseText(ImplicitUsings), CSharpSyntaxTree.ParseText(code)];
            bool isProgram = trees[1].GetCompilationUnitRoot().Members.Any(
                member => member.IsKind(SyntaxKind.GlobalStatement));
            CSharpCompilation compilation = CSharpCompilation.Create("page", trees, References, new CSharpCompilationOptions(
                isProgram ? OutputKind.ConsoleApplication : OutputKind.DynamicallyLinkedLibrary,
                nullableContextOptions: NullableContextOptions.Enable));
            string[] wrong = [.. compilation.GetDiagnostics()
                .Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error)
                .Select(diagnostic => diagnostic.ToString())];
            Assert.True(wrong.Length == 0, $"{string.Join('\n', wrong)}\n{code}");
        }
    }

    [Fact]
    public void The_pages_are_linked_from_their_list()
    {
        string list = File.ReadAllText(Path.Combine(Root, "docs", "dotnet", "README.md"));
        foreach (string page in Directory.GetFiles(Path.Combine(Root, "docs", "dotnet"), "*.md"))
        {
            string name = Path.GetFileName(page);
            Assert.True(name == "README.md" || list.Contains($"]({name})", StringComparison.Ordinal), name);
        }
    }

    [GeneratedRegex(@"```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex CSharpBlock();
}
