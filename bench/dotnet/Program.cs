// What the C# library costs its application, and the same beside LLamaSharp and beside the OpenAI package on llama-server.
//
//   LlamaIpc.Bench window              how long each way of reading holds up a window's thread, without a model
//   LlamaIpc.Bench wake                what the library adds to liblipc's own wake-up, without a model
//   LlamaIpc.Bench SUBJECT MODEL       one turn of a subject in this process: lipc, openai or llamasharp; prints JSON
//
// Environment: LIPC_CHATBOT is the host, LLAMA_SERVER the server, THREADS how many threads each engine gets.
// scripts/side_by_side.py lets the subjects take turns and makes the table of docs/dotnet/side-by-side.md.
using LlamaIpc.Bench;

return args switch
{
    ["window"] => await WindowRows.RunAsync(),
    ["wake"] => await WakeRow.RunAsync(),
    ["lipc" or "openai" or "llamasharp", string model] => await Turn.RunAsync(args[0], model),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("usage: LlamaIpc.Bench window | wake | (lipc | openai | llamasharp) MODEL");
    return 2;
}
