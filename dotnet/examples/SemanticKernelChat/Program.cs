// Semantic Kernel over a local model: a question whose answer needs a function of this program. The built-in model can do it.
//   SemanticKernelChat ["What is 12*7?" [HOST'S OPTION...]], such as -m my-model.gguf
using System.ComponentModel;
using System.Data;
using LlamaIpc;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;

string question = args.Length > 0 ? args[0] : "What is 12*7?";
await using LlamaClient llama = await LlamaClient.ConnectAsync(
    new LlamaClientOptions { HostArguments = ["--temp", "0", .. args.Skip(1)] });

IKernelBuilder builder = Kernel.CreateBuilder();
builder.Services.AddChatClient(llama.AsIChatClient()).UseKernelFunctionInvocation();
builder.Plugins.AddFromType<Calculator>();
Kernel kernel = builder.Build();

PromptExecutionSettings settings = new() { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };
Console.WriteLine(await kernel.InvokePromptAsync("{{$question}}", new KernelArguments(settings) { ["question"] = question }));

internal sealed class Calculator
{
    [KernelFunction("calculate")]
    [Description("Works out an arithmetic expression.")]
    public string Calculate(string expression)
    {
        Console.WriteLine($"[calculate: {expression}]");
        using DataTable table = new();
        return $"{table.Compute(expression, null)}";
    }
}
