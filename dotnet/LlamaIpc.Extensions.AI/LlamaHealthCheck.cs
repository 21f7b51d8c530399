// Whether a host serves.
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace LlamaIpc;

/// <summary>Looks at a host; costs no system call and starts nothing.</summary>
internal sealed class LlamaHealthCheck(LlamaConnection connection) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(
        HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        if (connection.Current is not LlamaClient client)
        {
            return Task.FromResult(connection.WasConnected
                ? new HealthCheckResult(context.Registration.FailureStatus, "The host has gone; the next request connects anew.")
                : HealthCheckResult.Degraded("No request has needed the host yet."));
        }
        LlamaHostStatus status = client.Status;
        Dictionary<string, object> data = new()
        {
            ["model"] = status.Model,
            ["running"] = status.Running,
            ["queued"] = status.Queued,
        };
        return Task.FromResult(status.State switch
        {
            LlamaHostState.Ready => HealthCheckResult.Healthy("The host serves.", data),
            LlamaHostState.Gone or LlamaHostState.Ending =>
                new HealthCheckResult(context.Registration.FailureStatus, "The host has gone.", data: data),
            _ => HealthCheckResult.Degraded(
                $"The host is not ready: {status.State}, {100 * status.LoadProgress:F0} % loaded.", data: data),
        });
    }
}
