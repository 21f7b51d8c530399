// The name of an instance.
namespace LlamaIpc;

internal static class Instance
{
    /// <summary>LIPC_DEFAULT_NAME, whose objects have the names of the guide.</summary>
    internal const string DefaultName = "llama_cpp";

    /// <summary>The name that is in force: the given one, that of the environment, the default.</summary>
    internal static string EffectiveName(string? name)
    {
        if (name != null)
        {
            return name;
        }
        string? fromEnvironment = Environment.GetEnvironmentVariable("LIPC_NAME");
        return string.IsNullOrEmpty(fromEnvironment) ? DefaultName : fromEnvironment;
    }
}
