// The C# side carries numbers of the C headers. These tests read the headers and compare, in both directions.
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using LlamaIpc.Native;
using Xunit;

namespace LlamaIpc.Tests;

public class HeaderTests
{
    private static readonly string ApiHeader = Header("lipc.h");

    [Fact]
    public void The_default_name_is_the_same() => Assert.Contains(
        $"#define LIPC_DEFAULT_NAME \"{Instance.DefaultName}\"\n", Header("layout.h"), StringComparison.Ordinal);

    [Fact]
    public void Every_error_has_the_same_number_and_name() => AssertSameMap<LipcError>("LIPC_ERROR_MAP");

    [Fact]
    public void Every_end_has_the_same_number_and_name() => AssertSameMap<LlamaEnd>("LIPC_END_MAP");

    [Fact]
    public void Every_state_and_policy_has_the_same_number_and_name()
    {
        AssertSame<LlamaHostState>(Regex.Matches(ApiHeader, @"LIPC_HOST_(?<name>\w+) = (?<number>\d+)"));
        AssertSame<LlamaStreamState>(Regex.Matches(ApiHeader, @"LIPC_STREAM_(?<name>\w+) = (?<number>\d+)"));
        AssertSame<LlamaPartKind>(Regex.Matches(ApiHeader, @"LIPC_PART_(?<name>\w+) = (?<number>\d+)"));
        AssertSame<HostStart>(Regex.Matches(ApiHeader, @"LIPC_START_(?<name>\w+) = (?<number>\d+)"));
    }

    [Fact]
    public void Every_special_number_of_a_request_is_the_same()
    {
        string[] defines =
        [
            "LIPC_INT_DEFAULT INT32_MIN",
            $"LIPC_SEED_RANDOM INT64_C({LlamaRequest.RandomSeed})",
            $"LIPC_SEED_DEFAULT INT64_C({LipcRequest.SeedDefault})",
            $"LIPC_STREAM_ID_SIZE {LlamaStream.IdSize}",
        ];
        Assert.All(defines, define => Assert.Contains($"#define {define}\n", ApiHeader, StringComparison.Ordinal));
        Assert.Equal(int.MinValue, LipcRequest.IntDefault);
        Assert.Contains($"#define LIPC_PROBS_MAX {LipcProb.Most}\n", Header("parameters.h"), StringComparison.Ordinal);
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
    public void Every_end_has_a_text_in_the_library()
    {
        string[] texts = [.. Enum.GetValues<LlamaEnd>().Select(end => NativeMethods.EndText((int)end))];
        Assert.Equal(texts.Length, texts.Distinct().Count());
        Assert.DoesNotContain("unknown", texts);
        Assert.Equal("unknown", NativeMethods.EndText(99));
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

        string[] imported = [.. typeof(NativeMethods).GetMethods(BindingFlags.Static | BindingFlags.NonPublic)
            .Select(method => method.GetCustomAttribute<DllImportAttribute>()?.EntryPoint)
            .OfType<string>().Order()];
        string[] shorten = ["lipc_stream_ask", "lipc_stream_run"];
        Assert.Equal(inHeader.Except(shorten).Where(name => !name.StartsWith("lipc_document_", StringComparison.Ordinal)), imported);
    }

    [Fact]
    public void Every_structure_of_the_library_is_the_same()
    {
        Dictionary<string, Structure> inHeader = Structures(ApiHeader);
        Assert.Equal(13, inHeader.Count);
        foreach ((string name, Structure structure) in inHeader)
        {
            Type here =
                typeof(LipcRequest).Assembly.GetType($"LlamaIpc.Native.Lipc{Pascal(name)}", throwOnError: true)!;
            Assert.Equal(
                structure.Fields.Select(field => (Pascal(field.Name), field.Type, field.Offset, field.Size)),
                here.GetFields(BindingFlags.Instance | BindingFlags.NonPublic)
                    .Select(field => (field.Name, CType(field), (int)Marshal.OffsetOf(here, field.Name), SizeOf(field)))
                    .OrderBy(field => field.Item3));
            Assert.Equal(structure.Size, Marshal.SizeOf(here));
        }
    }

    [Fact]
    public unsafe void Structures_that_grow_have_the_size_that_the_library_knows()
    {
        LipcClientOptions options;
        NativeMethods.ClientOptionsInit(&options, (nuint)sizeof(LipcClientOptions));
        Assert.Equal((uint)sizeof(LipcClientOptions), options.StructSize);
        LipcRequest request;
        NativeMethods.RequestInit(&request, (nuint)sizeof(LipcRequest));
        Assert.Equal((uint)sizeof(LipcRequest), request.StructSize);
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

    private static void AssertSameMap<T>(string macro)
        where T : struct, Enum
    {
        string map = Regex.Match(ApiHeader, $@"#define {macro}\(X\).*?\n\n", RegexOptions.Singleline).Value;
        AssertSame<T>(Regex.Matches(map, @"X\((?<number>-?\d+), (?<name>\w+), ""[^""]*""\)"));
    }

    private static void AssertSame<T>(MatchCollection rows)
        where T : struct, Enum
    {
        Dictionary<string, int> inHeader =
            rows.ToDictionary(row => Pascal(row.Groups["name"].Value), row => Number(row.Groups["number"]));
        Assert.NotEmpty(inHeader);
        Dictionary<string, int> here = Enum.GetValues<T>().ToDictionary(
            value => value.ToString(), value => Convert.ToInt32(value, CultureInfo.InvariantCulture));
        Assert.Equal(inHeader.OrderBy(pair => pair.Key), here.OrderBy(pair => pair.Key));
    }

    // ---- Reading headers ----

    private sealed record Field(string Name, string Type, int Offset, int Size);

    private sealed record Structure(List<Field> Fields, int Size, int Alignment);

    /// <summary>The structures of a header by their names without "lipc_", laid out by C's rules for x86-64.</summary>
    private static Dictionary<string, Structure> Structures(string header)
    {
        Dictionary<string, Structure> structures = [];
        string text = WithoutComments(header);
        const string Pattern = @"typedef struct lipc_(\w+) \{(.*?)\} lipc_\1;";
        foreach (Match match in Regex.Matches(text, Pattern, RegexOptions.Singleline))
        {
            structures[match.Groups[1].Value] = LayOut(match.Groups[2].Value, structures);
        }
        return structures;
    }

    private static Structure LayOut(string body, Dictionary<string, Structure> earlier)
    {
        List<Field> fields = [];
        int end = 0;
        int alignment = 1;
        foreach (Match match in Regex.Matches(body, @"([\w ]+?)([ *]+(?:const \*)?)(\w+)(?:\[(\d+)\])?;"))
        {
            string type = match.Groups[2].Value.Contains('*')
                ? new string('*', match.Groups[2].Value.Count(c => c == '*'))
                : match.Groups[1].Value.Trim();
            Structure? inner = earlier.GetValueOrDefault(type.Replace("lipc_", "", StringComparison.Ordinal));
            int size = inner?.Size ?? Size(type);
            int own = inner?.Alignment ?? size;
            int count = match.Groups[4].Success ? Number(match.Groups[4]) : 1;
            end = (end + own - 1) / own * own;
            string fullType = match.Groups[4].Success ? type + "[]" : type;
            fields.Add(new Field(match.Groups[3].Value, fullType, end, size * count));
            end += size * count;
            alignment = Math.Max(alignment, own);
        }
        return new Structure(fields, (end + alignment - 1) / alignment * alignment, alignment);
    }

    private static int Size(string type) => type switch
    {
        "char" => 1,
        "int32_t" or "uint32_t" or "float" => 4,
        "int64_t" or "uint64_t" or "double" or "size_t" or "*" or "**" => 8,
        _ => throw new NotSupportedException($"a field of type {type}"),
    };

    /// <summary>The C type of a field of a structure here.</summary>
    private static string CType(FieldInfo field) => field.GetCustomAttribute<FixedBufferAttribute>() != null ? "char[]"
        : field.FieldType.IsPointer ? field.FieldType.GetElementType()!.IsPointer ? "**" : "*"
        : field.FieldType == typeof(int) ? "int32_t"
        : field.FieldType == typeof(uint) ? "uint32_t"
        : field.FieldType == typeof(long) ? "int64_t"
        : field.FieldType == typeof(ulong) ? "uint64_t"
        : field.FieldType == typeof(nuint) ? "size_t"
        : field.FieldType == typeof(float) ? "float"
        : field.FieldType == typeof(double) ? "double"
        : field.FieldType.Name;

    private static int SizeOf(FieldInfo field) =>
        field.GetCustomAttribute<FixedBufferAttribute>()?.Length ?? Size(CType(field));

    private static string WithoutComments(string header) =>
        Regex.Replace(header, @"/\*.*?\*/", "", RegexOptions.Singleline);

    private static string Header(string file) =>
        File.ReadAllText(Path.Combine(TestEnvironment.Root, "include", "lipc", file));

    private static int Number(Group group) => int.Parse(group.Value, CultureInfo.InvariantCulture);

    /// <summary>"tokens_generated" and "TOKENS_GENERATED" become "TokensGenerated".</summary>
    private static string Pascal(string name) => string.Concat(
        name.Split('_').Select(word => char.ToUpperInvariant(word[0]) + word[1..].ToLowerInvariant()));
}
