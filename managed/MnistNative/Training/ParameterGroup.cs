namespace MnistNative;

/// <summary>
/// Parameters that are trained otherwise than the optimizer says. PyTorch: an entry of <c>param_groups</c>, or
/// <c>requires_grad_(False)</c>; Keras: <c>layer.trainable = False</c>. Immutable.
/// </summary>
/// <param name="Contains">Which parameters belong to the group; the first group that has a parameter counts.</param>
public sealed record ParameterGroup(Func<ParameterInfo, bool> Contains)
{
    /// <summary>Whether the parameters stay as they are. No gradients are computed for them.</summary>
    public bool Frozen { get; init; }

    /// <summary>
    /// Whether batch normalisations, whose running statistics the group contains, normalise by those in training, too, and
    /// leave them as they are; otherwise they move, also where <see cref="Frozen"/> holds the parameters. PyTorch:
    /// <c>module.eval()</c>; Keras: <c>BatchNormalization.trainable = False</c>.
    /// </summary>
    public bool FrozenStatistics { get; init; }

    /// <summary>Factor of the optimizer's learning rate, finite and not negative.</summary>
    public float LearningRateFactor { get; init; } = 1;

    /// <summary>Weight decay instead of the optimizer's, finite and not negative; null for the optimizer's.</summary>
    public float? WeightDecay { get; init; }

    /// <summary>How the names begin, where that is what the group goes by.</summary>
    internal string? Prefix { get; private init; }

    /// <summary>Throws when a number is out of range.</summary>
    internal void Validate()
    {
        Check(LearningRateFactor, nameof(LearningRateFactor));
        Check(WeightDecay ?? 0, nameof(WeightDecay));

        static void Check(float value, string name)
        {
            if (!(float.IsFinite(value) && value >= 0))
            {
                throw new ArgumentOutOfRangeException(name, value, $"{name} of a parameter group must be finite and not negative.");
            }
        }
    }

    /// <summary>The parameters whose names begin so.</summary>
    /// <param name="prefix">For example <c>features.</c>, or a whole name. Training refuses one that no name begins with.</param>
    /// <returns>The group, with nothing changed yet.</returns>
    public static ParameterGroup Named(string prefix)
    {
        ArgumentNullException.ThrowIfNull(prefix);
        return new ParameterGroup(parameter => parameter.Name.StartsWith(prefix, StringComparison.Ordinal)) { Prefix = prefix };
    }

    /// <summary>Freezes the parameters whose names begin so.</summary>
    /// <param name="prefix">For example <c>features.</c>, or a whole name. Training refuses one that no name begins with.</param>
    /// <param name="statistics">Whether the running statistics of batch normalisations are frozen, too.</param>
    /// <returns>The group.</returns>
    public static ParameterGroup Freeze(string prefix, bool statistics = false) =>
        Named(prefix) with { Frozen = true, FrozenStatistics = statistics };

    /// <summary>Freezes the parameters that a function chooses.</summary>
    /// <param name="contains">Whether a parameter stays as it is.</param>
    /// <returns>The group.</returns>
    public static ParameterGroup Freeze(Func<ParameterInfo, bool> contains) => new(contains) { Frozen = true };
}
