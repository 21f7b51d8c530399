// What the assembly for netstandard2.0 defines itself and the others have from .NET.
#if !NETSTANDARD2_0
using System.Runtime.CompilerServices;

// The setters of properties that are set in an initializer name it. A library that was compiled for netstandard2.0 looks for
// it in this assembly, whichever one of ours is there when it runs.
[assembly: TypeForwardedTo(typeof(IsExternalInit))]
#endif
