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

    /// <summary>Keeps the tokens of typical surprise that add up to P; 1: off. Range: 0 to 1.</summary>
    public float? TypicalP { get; init; }

    /// <summary>Keeps tokens within N standard deviations of the best; -1: off. Range: -1 to 1000.</summary>
    public float? TopNSigma { get; init; }

    /// <summary>XTC: how often it drops all but the least of the likely tokens; 0: off. Range: 0 to 1.</summary>
    public float? XtcProbability { get; init; }

    /// <summary>XTC: tokens at least this likely count; above 0.5: off. Range: 0 to 1.</summary>
    public float? XtcThreshold { get; init; }

    /// <summary>Dynamic temperature: how far it moves with the entropy; 0: off. Range: 0 to 100.</summary>
    public float? DynatempRange { get; init; }

    /// <summary>Dynamic temperature: exponent of the normalised entropy. Range: 0 to 100.</summary>
    public float? DynatempExponent { get; init; }

    /// <summary>DRY: strength of the penalty on growing repetitions; 0: off. Range: 0 to 100.</summary>
    public float? DryMultiplier { get; init; }

    /// <summary>DRY: the penalty grows as R to the power of the length. Range: 1 to 100.</summary>
    public float? DryBase { get; init; }

    /// <summary>DRY: repetitions up to this many tokens are free. Range: 0 or more.</summary>
    public int? DryAllowedLength { get; init; }

    /// <summary>DRY: how many tokens it looks back; 0: off, -1: all. Range: -1 or more.</summary>
    public int? DryPenaltyLastN { get; init; }

    /// <summary>DRY: what breaks a repetition: a text, none, or a JSON list; by default newline, :, " and *. Range: 0 to 4096 bytes.</summary>
    public string? DrySequenceBreakers { get; init; }

    /// <summary>Mirostat 1 or 2, in place of all samplers but the temperature; 0: off. Range: 0 to 2.</summary>
    public int? Mirostat { get; init; }

    /// <summary>Mirostat: target surprise. Range: 0 to 100.</summary>
    public float? MirostatTau { get; init; }

    /// <summary>Mirostat: learning rate. Range: 0 to 1.</summary>
    public float? MirostatEta { get; init; }

    /// <summary>Adaptive-p: prefers tokens near this probability; below 0: off. Range: -1 to 1.</summary>
    public float? AdaptiveTarget { get; init; }

    /// <summary>Adaptive-p: decay of its memory. Range: 0 to 0.99.</summary>
    public float? AdaptiveDecay { get; init; }

    /// <summary>The samplers to use, in order: names separated by semicolons. Range: 0 to 1024 bytes.</summary>
    public string? Samplers { get; init; }

    /// <summary>Adds to logits: TOKEN+BIAS or TOKEN-BIAS, comma-separated, or [[token or text, bias or false], ...]. Range: 0 to 65536 bytes.</summary>
    public string? LogitBias { get; init; }

    /// <summary>Scales of the host's LoRA adapters: ID:SCALE,... or [{"id":0,"scale":1}, ...]; those left out have 0. Range: 0 to 4096 bytes.</summary>
    public string? Lora { get; init; }

    /// <summary>Log probabilities of the N likeliest tokens at each token; 0: none. Range: 0 to 20.</summary>
    public int? NProbs { get; init; }

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
        list.Add("typical_p", TypicalP, nameof(TypicalP));
        list.Add("top_n_sigma", TopNSigma, nameof(TopNSigma));
        list.Add("xtc_probability", XtcProbability, nameof(XtcProbability));
        list.Add("xtc_threshold", XtcThreshold, nameof(XtcThreshold));
        list.Add("dynatemp_range", DynatempRange, nameof(DynatempRange));
        list.Add("dynatemp_exponent", DynatempExponent, nameof(DynatempExponent));
        list.Add("dry_multiplier", DryMultiplier, nameof(DryMultiplier));
        list.Add("dry_base", DryBase, nameof(DryBase));
        list.Add("dry_allowed_length", DryAllowedLength, nameof(DryAllowedLength));
        list.Add("dry_penalty_last_n", DryPenaltyLastN, nameof(DryPenaltyLastN));
        list.Add("dry_sequence_breakers", DrySequenceBreakers, nameof(DrySequenceBreakers));
        list.Add("mirostat", Mirostat, nameof(Mirostat));
        list.Add("mirostat_tau", MirostatTau, nameof(MirostatTau));
        list.Add("mirostat_eta", MirostatEta, nameof(MirostatEta));
        list.Add("adaptive_target", AdaptiveTarget, nameof(AdaptiveTarget));
        list.Add("adaptive_decay", AdaptiveDecay, nameof(AdaptiveDecay));
        list.Add("samplers", Samplers, nameof(Samplers));
        list.Add("logit_bias", LogitBias, nameof(LogitBias));
        list.Add("lora", Lora, nameof(Lora));
        list.Add("n_probs", NProbs, nameof(NProbs));
    }
}
