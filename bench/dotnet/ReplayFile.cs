// A host that plays a text, for rows without a model.
namespace LlamaIpc.Bench;

internal sealed class ReplayFile : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("lipc-bench-").FullName;

    internal ReplayFile(string text, int rate)
    {
        string path = Path.Combine(folder, "answer.txt");
        File.WriteAllText(path, text);
        Options = new LlamaClientOptions
        {
            InstanceName = $"bench{Environment.ProcessId}",
            HostPath = Environment.GetEnvironmentVariable("LIPC_CHATBOT") ?? "chatbot",
            HostArguments = ["--replay", path, "--rate", $"{rate}"],
        };
    }

    internal LlamaClientOptions Options { get; }

    public void Dispose() => Directory.Delete(folder, recursive: true);
}
