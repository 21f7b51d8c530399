// An agent of the Microsoft Agent Framework over a local model, with a function of this program as its tool.
//   AgentFrameworkChat "How warm is it in Oslo?" [HOST'S OPTION...], such as -m my-model.gguf
using System.ComponentModel;
using LlamaIpc;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;

if (args.Length == 0)
{
    Console.Error.WriteLine("usage: AgentFrameworkChat QUESTION [HOST'S OPTION...]");
    return 2;
}
await using LlamaClient llama = await LlamaClient.ConnectAsync(new LlamaClientOptions { HostArguments = args[1..] });

[Description("Tells how warm it is in a city, in degrees Celsius.")]
static double GetTemperature(string city)
{
    Console.WriteLine($"[get_temperature: {city}]");
    return city == "Oslo" ? -3 : 18;
}

AIAgent agent = llama.AsIChatClient().AsAIAgent(
    instructions: "You answer in one sentence.",
    tools: [AIFunctionFactory.Create(GetTemperature, "get_temperature")]);
await foreach (AgentResponseUpdate update in agent.RunStreamingAsync(args[0]))
{
    Console.Write(update.Text);
}
Console.WriteLine();
return 0;
