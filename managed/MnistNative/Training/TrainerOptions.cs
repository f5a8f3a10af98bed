namespace MnistNative;

/// <summary>Options of <see cref="Model.CreateTrainer(Optimizer, int, TrainerOptions)"/>. Immutable.</summary>
public sealed record TrainerOptions
{
    /// <summary>The loss to minimise.</summary>
    public Loss Loss { get; init; } = Loss.CrossEntropy();

    /// <summary>Enables <see cref="Trainer.GetInputGradient"/>.</summary>
    public bool InputGradient { get; init; }

    /// <summary>
    /// Largest norm of all gradients together; above it they are scaled down before an update. Null for none. PyTorch:
    /// <c>clip_grad_norm_</c>; Keras: <c>global_clipnorm</c>.
    /// </summary>
    public float? ClipNorm { get; init; }

    /// <summary>
    /// Largest size of a gradient's values, which are cut before an update, and before <see cref="ClipNorm"/>. Null for
    /// none. PyTorch: <c>clip_grad_value_</c>; Keras: <c>clipvalue</c>.
    /// </summary>
    public float? ClipValue { get; init; }

    /// <summary>Parameters that are trained otherwise, or not at all; the first group that has a parameter counts.</summary>
    public IReadOnlyList<ParameterGroup> ParameterGroups { get; init; } = [];

    internal void Validate()
    {
        ArgumentNullException.ThrowIfNull(Loss);
        ArgumentNullException.ThrowIfNull(ParameterGroups);
        foreach (ParameterGroup group in ParameterGroups)
        {
            group.Validate();
        }

        CheckClip(ClipNorm, nameof(ClipNorm));
        CheckClip(ClipValue, nameof(ClipValue));
    }

    private static void CheckClip(float? value, string name)
    {
        if (value is { } limit && !(float.IsFinite(limit) && limit > 0))
        {
            throw new ArgumentOutOfRangeException(name, limit, $"{name} must be finite and above 0, or null.");
        }
    }
}
