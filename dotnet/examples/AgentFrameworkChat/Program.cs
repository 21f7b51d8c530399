// An agent of the Microsoft Agent Framework over a local model, with a function of this program as its tool. The built-in model
// can do it.
//   AgentFrameworkChat ["What is 12*7?" [HOST'S OPTION...]], such as -m my-model.gguf
using System.ComponentModel;
using System.Data;
using LlamaIpc;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;

string question = args.Length > 0 ? args[0] : "What is 12*7?";
await using LlamaClient llama = await LlamaClient.ConnectAsync(
    new LlamaClientOptions { HostArguments = ["--temp", "0", .. args.Skip(1)] });

[Description("Works out an arithmetic expression.")]
static string Calculate(string expression)
{
    Console.WriteLine($"[calculate: {expression}]");
    using DataTable table = new();
    return $"{table.Compute(expression, null)}";
}

AIAgent agent = llama.AsIChatClient().AsAIAgent(tools: [AIFunctionFactory.Create(Calculate, "calculate")]);
await foreach (AgentResponseUpdate update in agent.RunStreamingAsync(question))
{
    Console.Write(update.Text);
}
Console.WriteLine();
