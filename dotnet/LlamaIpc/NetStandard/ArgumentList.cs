// The arguments of a program, where the class library has only one string for all of them.
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace LlamaIpc;

/// <summary>The arguments of a program that is to be started.</summary>
internal readonly struct ArgumentList(ProcessStartInfo start)
{
    /// <summary>Mono takes the string apart as a shell of Unix would; .NET does on all systems as programs of Windows do.</summary>
    private static readonly bool IsLikeShell =
        !RuntimeInformation.IsOSPlatform(OSPlatform.Windows)
        && RuntimeInformation.FrameworkDescription.StartsWith("Mono", StringComparison.Ordinal);

    /// <summary>Adds one as it is.</summary>
    internal void Add(string argument)
    {
        string quoted = IsLikeShell ? QuotedForShell(argument) : QuotedForWindows(argument);
        start.Arguments = string.IsNullOrEmpty(start.Arguments) ? quoted : start.Arguments + " " + quoted;
    }

    /// <summary>Backslashes mean something in front of a quotation mark alone; there each is doubled.</summary>
    internal static string QuotedForWindows(string argument)
    {
        StringBuilder quoted = new("\"");
        int backslashes = 0;
        foreach (char c in argument)
        {
            quoted.Append('\\', c == '"' ? backslashes + 1 : 0).Append(c);
            backslashes = c == '\\' ? backslashes + 1 : 0;
        }
        return quoted.Append('\\', backslashes).Append('"').ToString();
    }

    /// <summary>Four characters mean something between quotation marks, unless a backslash is in front of them.</summary>
    internal static string QuotedForShell(string argument)
    {
        StringBuilder quoted = new("\"");
        foreach (char c in argument)
        {
            quoted.Append('\\', c is '\\' or '"' or '$' or '`' ? 1 : 0).Append(c);
        }
        return quoted.Append('"').ToString();
    }
}
