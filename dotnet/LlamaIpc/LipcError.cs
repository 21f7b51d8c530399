// The error codes of liblipc. A test compares this enum with LIPC_ERROR_MAP of include/lipc/lipc.h.
namespace LlamaIpc;

/// <summary>The error codes of the native library, with the numbers and names that <c>lipc.h</c> gives them.</summary>
public enum LipcError
{
    /// <summary>Success.</summary>
    Ok = 0,

    /// <summary>An argument is not valid.</summary>
    Invalid = -1,

    /// <summary>Not enough memory.</summary>
    NoMemory = -2,

    /// <summary>The operating system refused.</summary>
    System = -3,

    /// <summary>No host is running under this name.</summary>
    NoHost = -4,

    /// <summary>The host ended or was killed.</summary>
    HostGone = -5,

    /// <summary>The time-out passed.</summary>
    Timeout = -6,

    /// <summary>Cancelled.</summary>
    Cancelled = -7,

    /// <summary>Another thread uses this handle.</summary>
    Busy = -8,

    /// <summary>The host belongs to another user, or cannot be used from here (another container).</summary>
    Access = -9,

    /// <summary>The shared memory does not have the expected layout.</summary>
    Layout = -10,

    /// <summary>The host cannot serve this request.</summary>
    Refused = -11,

    /// <summary>The model failed while answering.</summary>
    Failed = -12,

    /// <summary>The host has no room for another client.</summary>
    Full = -13,

    /// <summary>The stream no longer exists.</summary>
    Gone = -14,
}
