// Who says a message.
namespace LlamaIpc;

/// <summary>
/// Who says a message of a conversation. A string converts to it, in any case: <c>"user"</c> and <c>"User"</c> are the
/// same. Which roles there are is the model's affair; every chat model knows those named here.
/// </summary>
public readonly struct LlamaRole : IEquatable<LlamaRole>
{
    private readonly string? name;

    /// <summary>Makes a role of its name.</summary>
    /// <param name="name">The name.</param>
    public LlamaRole(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        this.name = name.ToLowerInvariant();
    }

    /// <summary>Who instructs the model.</summary>
    public static LlamaRole System { get; } = new("system");

    /// <summary>Who asks.</summary>
    public static LlamaRole User { get; } = new("user");

    /// <summary>The model.</summary>
    public static LlamaRole Assistant { get; } = new("assistant");

    /// <summary>Who instructs the model in the application's name; some models know it besides <see cref="System"/>.</summary>
    public static LlamaRole Developer { get; } = new("developer");

    /// <summary>A tool that was called, and says what it found.</summary>
    public static LlamaRole Tool { get; } = new("tool");

    /// <summary>Its name, in lower case.</summary>
    public string Name => name ?? "";

    /// <summary>The role of that name.</summary>
    /// <param name="name">The name.</param>
    public static implicit operator LlamaRole(string name) => new(name);

    /// <summary>Whether two are the same.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator ==(LlamaRole left, LlamaRole right) => left.Equals(right);

    /// <summary>Whether two are not the same.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator !=(LlamaRole left, LlamaRole right) => !left.Equals(right);

    /// <inheritdoc/>
    public bool Equals(LlamaRole other) => Name == other.Name;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is LlamaRole other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Name.GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => Name;
}
