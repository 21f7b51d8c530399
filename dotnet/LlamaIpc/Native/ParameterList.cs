// Parameters of a request that are not left to the host.
namespace LlamaIpc.Native;

/// <summary>Names and values, as they are passed to the library. A null is left out.</summary>
internal sealed class ParameterList
{
    private readonly List<(string Name, double Number, string? Text)> items = [];

    internal int Count => items.Count;

    internal (string Name, double Number, string? Text) this[int index] => items[index];

    internal void Add(string name, int? value, string property)
    {
        if (value == LipcRequest.IntDefault)
        {
            throw new ArgumentOutOfRangeException(property, value, "Out of bounds; null leaves the value to the host.");
        }
        Add(name, (double?)value);
    }

    internal void Add(string name, float? value, string property)
    {
        if (value is float.NaN)
        {
            throw new ArgumentOutOfRangeException(property, value, "Not a number; null leaves the value to the host.");
        }
        Add(name, (double?)value);
    }

    internal void Add(string name, string? value, string property)
    {
        _ = property;
        if (value is not null)
        {
            items.Add((name, 0, value));
        }
    }

    private void Add(string name, double? value)
    {
        if (value is double number)
        {
            items.Add((name, number, null));
        }
    }
}
