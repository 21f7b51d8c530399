// An application that loads its plug-ins into contexts of their own can let go of the library again.
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.Loader;
using Xunit;

namespace LlamaIpc.Tests;

public class UnloadTests
{
    [HostFact]
    public async Task A_collectible_context_unloads_after_use()
    {
        await using Replay replay = await Replay.StartAsync(Replay.Words(20), rate: 0);
        string name = replay.Options.InstanceName!;
        string text = "";
        WeakReference context = await TestEnvironment.Blocking(() => Use(name, out text));
        Assert.Equal(replay.Text, text);
        await TestEnvironment.EventuallyAsync(() => IsUnloaded(context), "the context is unloaded");
    }

    /// <summary>In the context: asks the host once in each way of reading.</summary>
    internal static string Ask(string name)
    {
        using LlamaClient client = LlamaClient.ConnectAsync(new() { InstanceName = name, Start = HostStart.Never }).Result;
        string text = client.AskAsync("Hello").Result;
        using LlamaStream stream = client.OpenStream("Hello");
        foreach (string piece in stream.ReadAllAsync().ToBlockingEnumerable())
        {
            Assert.NotEmpty(piece);
        }
        return text;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference Use(string name, out string text)
    {
        Context context = new();
        Type type = context.LoadFromAssemblyPath(typeof(UnloadTests).Assembly.Location).GetType(typeof(UnloadTests).FullName!)!;
        text = (string)type.GetMethod(nameof(Ask), BindingFlags.Static | BindingFlags.NonPublic)!.Invoke(null, [name])!;
        context.Unload();
        return new WeakReference(context);
    }

    private static bool IsUnloaded(WeakReference context)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return !context.IsAlive;
    }

    /// <summary>With copies of its own of the library and of the tests.</summary>
    private sealed class Context() : AssemblyLoadContext("plug-in", isCollectible: true)
    {
        protected override Assembly? Load(AssemblyName name)
        {
            string path = Path.Combine(AppContext.BaseDirectory, name.Name + ".dll");
            bool isOurs = name.Name!.StartsWith("LlamaIpc", StringComparison.Ordinal) && File.Exists(path);
            return isOurs ? LoadFromAssemblyPath(path) : null;
        }
    }
}
