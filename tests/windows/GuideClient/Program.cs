// A client of the classic channel in plain C#, written to the guide's layout and its names on Windows; none of our code.
//
//     GuideClient PATH-TO-CHATBOT TEXT-FILE    starts the host on that text, and checks normal mode, streaming, cancelling, a killed
//                                              worker in the middle of a stream, and shutdown; exit code 0 if all is well
using System.Diagnostics;
using System.IO.MemoryMappedFiles;
using System.Text;

string chatbot = args[0], textFile = args[1], text = File.ReadAllText(textFile);
using Process host = Process.Start(new ProcessStartInfo(chatbot, $"--replay \"{textFile}\" --rate 200") { UseShellExecute = false, CreateNoWindow = true })!;
try
{
    GuideClient client = GuideClient.Open();
    Check("normal mode", client.Ask("x", stream: false, out _) == text);
    Check("streaming", client.Ask("x", stream: true, out int updates) == text && updates > 1);
    client.CancelAfter = 5;
    string cancelled = client.Ask("x", stream: true, out _);
    Check("cancel", cancelled.Length < text.Length && text.StartsWith(cancelled, StringComparison.Ordinal));
    client.CancelAfter = 0;
    client.KillWorkerAfter = 5;
    client.Host = host.Id;
    Check("a killed worker", client.Ask("x", stream: true, out _) == text);
    client.Shutdown();
    Check("shutdown", host.WaitForExit(15000) && host.ExitCode == 0);
    return 0;
}
finally
{
    if (!host.HasExited)
    {
        host.Kill(entireProcessTree: true);
    }
}

static void Check(string what, bool isRight)
{
    Console.WriteLine($"{what}: {(isRight ? "right" : "WRONG")}");
    if (!isRight)
    {
        Environment.Exit(1);
    }
}

internal sealed class GuideClient(MemoryMappedViewAccessor block, Semaphore ready, Semaphore written, Semaphore response, Semaphore chunk)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    internal int CancelAfter { get; set; }

    internal int KillWorkerAfter { get; set; }

    internal int Host { get; set; }

    internal static GuideClient Open()
    {
        for (Stopwatch time = Stopwatch.StartNew(); ; Thread.Sleep(20))
        {
            try
            {
                MemoryMappedFile file = MemoryMappedFile.OpenExisting(@"Local\llama_cpp_shared_mem");
                Semaphore Named(string name) => Semaphore.OpenExisting(@"Local\llama_cpp_sem_" + name);
                return new GuideClient(file.CreateViewAccessor(0, 45000), Named("ready"), Named("prompts_written"),
                    Named("response_written"), Named("chunk_ready"));
            }
            catch (Exception e) when (e is FileNotFoundException or WaitHandleCannotBeOpenedException && time.Elapsed < Patience)
            {
                // Not there yet.
            }
        }
    }

    internal string Ask(string prompt, bool stream, out int updates)
    {
        Take(ready);
        Write(0, "You are helpful.");
        Write(4096, prompt);
        block.WriteArray(8192, new byte[32768], 0, 32768);
        block.Write(40960, (byte)0);
        block.Write(40961, (byte)(stream ? 1 : 0));
        block.Write(40962, 0);
        block.Write(40966, (byte)0);
        block.Write(40967, 0);
        written.Release();
        updates = 0;
        for (bool isComplete = !stream; !isComplete;)
        {
            Take(chunk);
            int counter = block.ReadInt32(40962);
            isComplete = block.ReadByte(40966) != 0;
            updates += counter > updates ? 1 : 0;
            if (updates == CancelAfter)
            {
                block.Write(40971, (byte)1);
            }
            if (updates == KillWorkerAfter && Host != 0)
            {
                foreach (Process process in Process.GetProcessesByName("chatbot").Where(process => process.Id != Host))
                {
                    process.Kill();
                }
                Host = 0;
            }
        }
        Take(response);
        byte[] bytes = new byte[32768];
        block.ReadArray(8192, bytes, 0, bytes.Length);
        return Encoding.UTF8.GetString(bytes, 0, Array.IndexOf(bytes, (byte)0));
    }

    internal void Shutdown()
    {
        Take(ready);
        block.Write(40960, (byte)1);
        written.Release();
    }

    private static void Take(Semaphore semaphore)
    {
        if (!semaphore.WaitOne(Patience))
        {
            throw new TimeoutException("a semaphore was not posted within a minute");
        }
    }

    private void Write(long offset, string text)
    {
        byte[] bytes = new byte[4096];
        byte[] encoded = Encoding.UTF8.GetBytes(text);
        Array.Copy(encoded, bytes, Math.Min(encoded.Length, 4095));
        block.WriteArray(offset, bytes, 0, bytes.Length);
    }
}
