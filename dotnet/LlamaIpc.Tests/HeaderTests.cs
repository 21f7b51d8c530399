// The C# side carries numbers of the C headers. These tests read the headers and compare, in both directions.
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using LlamaIpc.Native;
using Xunit;

namespace LlamaIpc.Tests;

public class HeaderTests
{
    private const BindingFlags Constants = BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public;

    private static readonly string LayoutHeader = Header("layout.h");
    private static readonly string ApiHeader = Header("lipc.h");

    [Fact]
    public void Every_constant_of_the_layout_is_the_same()
    {
        Dictionary<string, object> inHeader = [];
        foreach (Match define in Regex.Matches(LayoutHeader, @"^#define LIPC_(\w+)[ \t]+(""[^""]*""|\w+)", RegexOptions.Multiline))
        {
            string value = define.Groups[2].Value;
            inHeader[Pascal(define.Groups[1].Value)] =
                value.StartsWith('"') ? value.Trim('"')
                : int.TryParse(value, CultureInfo.InvariantCulture, out int number) ? number
                : inHeader[Pascal(value["LIPC_".Length..])];
        }
        Assert.Contains("SegmentSize", inHeader.Keys);

        Dictionary<string, object> here =
            typeof(Layout).GetFields(Constants).ToDictionary(field => field.Name, field => field.GetRawConstantValue()!);
        Assert.Equal(inHeader.OrderBy(pair => pair.Key), here.OrderBy(pair => pair.Key));
    }

    [Fact]
    public void Every_field_of_the_classic_block_has_the_same_place_and_size()
    {
        Dictionary<string, int> expected = [];
        foreach (Match offset in Regex.Matches(
            LayoutHeader, @"LIPC_LAYOUT_ASSERT\(offsetof\(lipc_classic_block, (\w+)\) == (\d+)\);"))
        {
            expected[Pascal(offset.Groups[1].Value) + "Offset"] = Number(offset.Groups[2]);
        }
        string body = Regex.Match(LayoutHeader, @"typedef struct lipc_classic_block \{(.*?)\}", RegexOptions.Singleline).Groups[1].Value;
        foreach (Match field in Regex.Matches(body, @"(char|uint8_t|int32_t) (\w+)(?:\[LIPC_(\w+)\])?;"))
        {
            int element = field.Groups[1].Value == "int32_t" ? 4 : 1;
            int count = field.Groups[3].Success
                ? (int)typeof(Layout).GetField(Pascal(field.Groups[3].Value), Constants)!.GetRawConstantValue()!
                : 1;
            expected[Pascal(field.Groups[2].Value) + "Size"] = element * count;
        }
        expected["Size"] = Number(Regex.Match(LayoutHeader, @"sizeof\(lipc_classic_block\) == (\d+)\)").Groups[1]);
        Assert.Equal(2 * 9 + 1, expected.Count);

        Dictionary<string, int> here = typeof(Layout.ClassicBlock).GetFields(Constants)
            .ToDictionary(field => field.Name, field => (int)field.GetRawConstantValue()!);
        Assert.Equal(expected.OrderBy(pair => pair.Key), here.OrderBy(pair => pair.Key));

        // The block is packed: each field begins where the one before it ends.
        int end = 0;
        foreach (Match field in Regex.Matches(body, @"(?:char|uint8_t|int32_t) (\w+)(?:\[\w+\])?;"))
        {
            string name = Pascal(field.Groups[1].Value);
            Assert.Equal(end, here[name + "Offset"]);
            end += here[name + "Size"];
        }
        Assert.Equal(Layout.ClassicBlock.Size, end);
    }

    [Fact]
    public void Every_error_has_the_same_number_and_name()
    {
        Dictionary<string, int> inHeader = Regex.Matches(ApiHeader, @"X\((-?\d+), (\w+), ""[^""]*""\)")
            .ToDictionary(row => Pascal(row.Groups[2].Value), row => Number(row.Groups[1]));
        Assert.NotEmpty(inHeader);

        Dictionary<string, int> here = Enum.GetValues<LipcError>().ToDictionary(error => error.ToString(), error => (int)error);
        Assert.Equal(inHeader.OrderBy(pair => pair.Key), here.OrderBy(pair => pair.Key));
    }

    [Fact]
    public void Every_error_has_the_same_name_in_the_library()
    {
        foreach (LipcError error in Enum.GetValues<LipcError>())
        {
            string name = NativeMethods.ErrorName((int)error);
            Assert.Equal(error.ToString(), Pascal(name["LIPC_E_".Length..]));
            Assert.NotEqual("", NativeMethods.ErrorText((int)error));
        }
    }

    [Fact]
    public void Every_function_of_the_library_is_imported()
    {
        string[] inHeader = [.. Regex.Matches(ApiHeader, @"LIPC_API [\w ]+?[ *](lipc_\w+)\(").Select(match => match.Groups[1].Value).Order()];
        Assert.Contains("lipc_classic_stream", inHeader);

        IntPtr library = NativeLibraryResolver.Load(typeof(NativeMethods).Assembly, searchPath: null);
        foreach (string function in inHeader)
        {
            Assert.True(NativeLibrary.TryGetExport(library, function, out _), $"liblipc does not export {function}");
        }

        // The declarations name their functions in an attribute that the compiler keeps as metadata of a local
        // function.
        string source = File.ReadAllText(Path.Combine(TestEnvironment.Root, "dotnet", "LlamaIpc", "Native", "NativeMethods.cs"));
        string[] imported = [.. Regex.Matches(source, @"EntryPoint = ""(\w+)""").Select(match => match.Groups[1].Value).Order()];
        Assert.Equal(inHeader, imported);
    }

    [Fact]
    public unsafe void The_result_structure_is_the_same()
    {
        string body = Regex.Match(ApiHeader, @"typedef struct lipc_classic_result \{(.*?)\} lipc_classic_result;", RegexOptions.Singleline).Groups[1].Value;
        body = Regex.Replace(body, @"/\*.*?\*/", "", RegexOptions.Singleline);
        string[] inHeader = [.. Regex.Matches(body, @"([\w ]+?[ *])(\w+);").Select(
            field => Pascal(field.Groups[2].Value) + ":" + field.Groups[1].Value.Trim() switch
            {
                "const char *" => "Byte*",
                "size_t" => "UIntPtr",
                "int32_t" => "Int32",
                string other => other,
            })];

        string[] here = [.. typeof(LipcClassicResult).GetFields(BindingFlags.Instance | BindingFlags.NonPublic)
            .OrderBy(field => (int)Marshal.OffsetOf<LipcClassicResult>(field.Name))
            .Select(field => $"{field.Name}:{field.FieldType.Name}")];
        Assert.Equal(inHeader, here);
        Assert.Equal(40, sizeof(LipcClassicResult));
    }

    [Fact]
    public void Exit_codes_of_the_host_have_a_meaning()
    {
        string header = File.ReadAllText(Path.Combine(TestEnvironment.Root, "src", "host", "exit_codes.h"));
        MatchCollection rows = Regex.Matches(header, @"X\((\d+), (\w+), ""[^""]*""\)");
        Assert.NotEmpty(rows);
        foreach (Match row in rows)
        {
            Assert.NotEqual("not an exit code of the host", HostExitCode.Describe(Number(row.Groups[1])));
        }
        Assert.Contains("SIGKILL", HostExitCode.Describe(137));
        Assert.Equal("not an exit code of the host", HostExitCode.Describe(99));
    }

    private static string Header(string file) =>
        File.ReadAllText(Path.Combine(TestEnvironment.Root, "include", "lipc", file));

    private static int Number(Group group) => int.Parse(group.Value, CultureInfo.InvariantCulture);

    /// <summary>"tokens_generated" and "TOKENS_GENERATED" become "TokensGenerated".</summary>
    private static string Pascal(string name) => string.Concat(
        name.Split('_').Select(word => char.ToUpperInvariant(word[0]) + word[1..].ToLowerInvariant()));
}
