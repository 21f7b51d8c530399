// Semantic Kernel over a local model: a question whose answer needs a function of this program.
//   SemanticKernelChat "How warm is it in Oslo?" [HOST'S OPTION...], such as -m my-model.gguf
using System.ComponentModel;
using LlamaIpc;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.SemanticKernel;

if (args.Length == 0)
{
    Console.Error.WriteLine("usage: SemanticKernelChat QUESTION [HOST'S OPTION...]");
    return 2;
}
await using LlamaClient llama = await LlamaClient.ConnectAsync(new LlamaClientOptions { HostArguments = args[1..] });

IKernelBuilder builder = Kernel.CreateBuilder();
builder.Services.AddChatClient(llama.AsIChatClient()).UseKernelFunctionInvocation();
builder.Plugins.AddFromType<Weather>();
Kernel kernel = builder.Build();

PromptExecutionSettings settings = new() { FunctionChoiceBehavior = FunctionChoiceBehavior.Auto() };
Console.WriteLine(await kernel.InvokePromptAsync("{{$question}}", new KernelArguments(settings) { ["question"] = args[0] }));
return 0;

internal sealed class Weather
{
    [KernelFunction("get_temperature")]
    [Description("Tells how warm it is in a city, in degrees Celsius.")]
    public double GetTemperature(string city)
    {
        Console.WriteLine($"[get_temperature: {city}]");
        return city == "Oslo" ? -3 : 18;
    }
}
