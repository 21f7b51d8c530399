// What only the side that runs the model knows, by the names that OpenTelemetry gives it.
using System.Diagnostics.Metrics;

namespace LlamaIpc;

/// <summary>
/// The meter "LlamaIpc": of each whole answer the time to its first token and the time for each further one, as
/// OpenTelemetry's conventions for generative AI name them. Tokens, durations and traces of whole operations are
/// Microsoft.Extensions.AI's: <c>UseOpenTelemetry()</c>.
/// </summary>
internal static class ChatMetrics
{
    internal const string MeterName = "LlamaIpc";

    private static readonly Meter Meter = new(MeterName);

    private static readonly Histogram<double> FirstToken = Meter.CreateHistogram<double>(
        "gen_ai.server.time_to_first_token", "s", "Time to the first token, the time in the queue included");

    private static readonly Histogram<double> FurtherToken = Meter.CreateHistogram<double>(
        "gen_ai.server.time_per_output_token", "s", "Time for each token after the first");

    private static readonly Histogram<double> Request = Meter.CreateHistogram<double>(
        "gen_ai.server.request.duration", "s", "Time from sending a request to the end of its answer");

    internal static void Record(LlamaResult result, string model, TimeSpan duration)
    {
        KeyValuePair<string, object?>[] tags =
        [
            new("gen_ai.operation.name", "chat"),
            new("gen_ai.provider.name", "lipc"),
            new("gen_ai.response.model", model),
        ];
        Request.Record(duration.TotalSeconds, tags);
        FirstToken.Record((result.QueueTime + result.PromptTime).TotalSeconds, tags);
        if (result.Tokens > 1)
        {
            FurtherToken.Record(result.GenerateTime.TotalSeconds / (result.Tokens - 1), tags);
        }
    }
}
