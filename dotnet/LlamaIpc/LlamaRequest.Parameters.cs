// Generated from include/lipc/parameters.h by `make generated`; a test compares them. Do not edit.
using LlamaIpc.Native;

namespace LlamaIpc;

public sealed partial record LlamaRequest
{
    /// <summary>Temperature; 0: always the likeliest token. Range: 0 to 100.</summary>
    public float? Temperature { get; init; }

    /// <summary>Drops tokens less likely than P times the best one; 0: off. Range: 0 to 1.</summary>
    public float? MinP { get; init; }

    /// <summary>Keeps the likeliest tokens that add up to P; 1: off. Range: 0 to 1.</summary>
    public float? TopP { get; init; }

    /// <summary>Keeps the K likeliest tokens; 0: off. Range: 0 or more.</summary>
    public int? TopK { get; init; }

    /// <summary>Divides the logits of recent tokens; 1: off. Range: 0.01 to 100.</summary>
    public float? RepeatPenalty { get; init; }

    /// <summary>How many tokens count as recent for penalties; 0: none, -1: all. Range: -1 or more.</summary>
    public int? RepeatLastN { get; init; }

    /// <summary>Subtracts R for each recent occurrence; 0: off. Range: -100 to 100.</summary>
    public float? FrequencyPenalty { get; init; }

    /// <summary>Subtracts R if a token occurred recently; 0: off. Range: -100 to 100.</summary>
    public float? PresencePenalty { get; init; }

    private void AddSampling(ParameterList list)
    {
        list.Add("temperature", Temperature, nameof(Temperature));
        list.Add("min_p", MinP, nameof(MinP));
        list.Add("top_p", TopP, nameof(TopP));
        list.Add("top_k", TopK, nameof(TopK));
        list.Add("repeat_penalty", RepeatPenalty, nameof(RepeatPenalty));
        list.Add("repeat_last_n", RepeatLastN, nameof(RepeatLastN));
        list.Add("frequency_penalty", FrequencyPenalty, nameof(FrequencyPenalty));
        list.Add("presence_penalty", PresencePenalty, nameof(PresencePenalty));
    }
}
