// For runtimes that compile everything ahead of time.
namespace LlamaIpc.Native;

/// <summary>
/// Unity's IL2CPP and Mono's ahead-of-time compiler look for an attribute of this name on methods that native code calls.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class MonoPInvokeCallbackAttribute(Type type) : Attribute
{
    /// <summary>The type of the delegate.</summary>
    public Type Type { get; } = type;
}
