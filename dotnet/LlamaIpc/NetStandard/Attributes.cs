// What the compiler looks for by name, and netstandard2.0 does not have.
#pragma warning disable CA1019, IDE0130 // The names and the namespaces are those of .NET.

namespace System.Runtime.CompilerServices
{
    /// <summary>Marks properties that can be set in an initializer only.</summary>
    internal static class IsExternalInit;

    /// <summary>Has the compiler pass what was written as another argument.</summary>
    [AttributeUsage(AttributeTargets.Parameter)]
    internal sealed class CallerArgumentExpressionAttribute(string parameterName) : Attribute
    {
        public string ParameterName { get; } = parameterName;
    }
}

namespace System.Diagnostics.CodeAnalysis
{
    /// <summary>Says that an argument is not null where the method returns a value.</summary>
    [AttributeUsage(AttributeTargets.Parameter)]
    internal sealed class NotNullWhenAttribute(bool returnValue) : Attribute
    {
        public bool ReturnValue { get; } = returnValue;
    }

    /// <summary>Says that a warning of the trimmer is taken care of.</summary>
    [AttributeUsage(AttributeTargets.All)]
    internal sealed class UnconditionalSuppressMessageAttribute(string category, string checkId) : Attribute
    {
        public string Category { get; } = category;

        public string CheckId { get; } = checkId;

        public string? Justification { get; set; }
    }
}
