// Chat clients by dependency injection.
using LlamaIpc;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds chat clients, and what belongs to them, to an application.</summary>
public static class LlamaChatClientExtensions
{
    /// <summary>
    /// Adds an <see cref="IChatClient"/> whose host is started or attached to when it is first used, and again after it has
    /// gone. It belongs to the application, which ends it.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="configure">Sets the options; null: the defaults.</param>
    /// <returns>To put middleware around it: <c>.UseFunctionInvocation().UseOpenTelemetry()</c>.</returns>
    public static ChatClientBuilder AddLlamaIpcChatClient(
        this IServiceCollection services, Action<LlamaIpcOptions>? configure = null)
    {
        AddOptions(services, Options.Options.DefaultName, configure);
        services.TryAddSingleton(provider => Connect(provider, Options.Options.DefaultName));
        AddStart(services, Options.Options.DefaultName, provider => provider.GetRequiredService<LlamaConnection>());
        return services.AddChatClient(
            provider => new LlamaChatClient(provider.GetRequiredService<LlamaConnection>()));
    }

    /// <summary>The same with options out of the configuration.</summary>
    /// <inheritdoc cref="AddLlamaIpcChatClient(IServiceCollection, Action{LlamaIpcOptions})"/>
    /// <param name="services">The application's services.</param>
    /// <param name="section">A section with the names of <see cref="LlamaIpcOptions"/>.</param>
    public static ChatClientBuilder AddLlamaIpcChatClient(this IServiceCollection services, IConfiguration section)
    {
        ArgumentNullException.ThrowIfNull(section);
        services.AddOptions<LlamaIpcOptions>().Bind(section);
        return services.AddLlamaIpcChatClient();
    }

    /// <summary>The same under a key, for several hosts in one application: give each an instance name of its own.</summary>
    /// <inheritdoc cref="AddLlamaIpcChatClient(IServiceCollection, Action{LlamaIpcOptions})"/>
    /// <param name="services">The application's services.</param>
    /// <param name="key">The key, for <c>[FromKeyedServices]</c>; also the name of its options.</param>
    /// <param name="configure">Sets the options; null: those that were configured under the key's name.</param>
    public static ChatClientBuilder AddKeyedLlamaIpcChatClient(
        this IServiceCollection services, string key, Action<LlamaIpcOptions>? configure = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        AddOptions(services, key, configure);
        services.TryAddKeyedSingleton(key, (provider, _) => Connect(provider, key));
        AddStart(services, key, provider => provider.GetRequiredKeyedService<LlamaConnection>(key));
        return services.AddKeyedChatClient(
            key, provider => new LlamaChatClient(provider.GetRequiredKeyedService<LlamaConnection>(key)));
    }

    /// <summary>
    /// Adds a check: healthy when the host serves, degraded while it loads or recovers or nobody has used it yet, unhealthy
    /// when it has gone. It starts no host.
    /// </summary>
    /// <param name="builder">The application's health checks.</param>
    /// <param name="key">The key of the chat client; null: the one without.</param>
    /// <param name="name">The name of the check.</param>
    public static IHealthChecksBuilder AddLlamaIpc(
        this IHealthChecksBuilder builder, string? key = null, string name = "llama_ipc")
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.Add(new HealthCheckRegistration(
            name,
            provider => new LlamaHealthCheck(key is null
                ? provider.GetRequiredService<LlamaConnection>()
                : provider.GetRequiredKeyedService<LlamaConnection>(key)),
            failureStatus: null,
            tags: null));
    }

    private static void AddOptions(IServiceCollection services, string name, Action<LlamaIpcOptions>? configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        OptionsBuilder<LlamaIpcOptions> options = services.AddOptions<LlamaIpcOptions>(name);
        if (configure != null)
        {
            options.Configure(configure);
        }
    }

    private static LlamaConnection Connect(IServiceProvider provider, string name) => new(
        provider.GetRequiredService<IOptionsMonitor<LlamaIpcOptions>>().Get(name).ToClientOptions(),
        provider.GetService<ILogger<LlamaConnection>>());

    private static void AddStart(
        IServiceCollection services, string name, Func<IServiceProvider, LlamaConnection> connection) =>
        services.AddSingleton<IHostedService>(provider => new ConnectAtStart(
            provider.GetRequiredService<IOptionsMonitor<LlamaIpcOptions>>().Get(name).ConnectAtStart,
            () => connection(provider)));

    /// <summary>Connects when the application starts, if the options say so.</summary>
    private sealed class ConnectAtStart(bool isWanted, Func<LlamaConnection> connection) : IHostedService
    {
        public async Task StartAsync(CancellationToken cancellationToken)
        {
            if (isWanted)
            {
                await connection().GetAsync(cancellationToken).ConfigureAwait(false);
            }
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
