using System.Globalization;

namespace MnistNative;

/// <summary>How parameters follow their gradients. Immutable; each training run has its own state.</summary>
/// <param name="LearningRate">Size of a step, finite and not negative.</param>
public abstract record Optimizer(float LearningRate)
{
    private protected static float Check(float value, bool valid, string name, string rule) =>
        valid ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} must be {rule}.");

    /// <summary>Throws when a number is out of range.</summary>
    internal virtual void Validate() =>
        Check(LearningRate, float.IsFinite(LearningRate) && LearningRate >= 0, nameof(LearningRate), "finite and not negative");
}

/// <summary>
/// Adam (Kingma and Ba, 2015). PyTorch: <c>torch.optim.Adam</c>; Keras: <c>Adam</c>, whose epsilon is 1e-7.
/// </summary>
/// <param name="LearningRate">Size of a step.</param>
/// <param name="Beta1">Decay of the mean of the gradients, in [0, 1).</param>
/// <param name="Beta2">Decay of the mean of their squares, in [0, 1).</param>
/// <param name="Epsilon">Added to the root of the second mean, above 0.</param>
/// <param name="WeightDecay">Multiple of the parameter added to its gradient (L2), not negative.</param>
/// <param name="Amsgrad">Divide by the largest second mean so far (Reddi and others, 2018).</param>
public sealed record Adam(
    float LearningRate = 1e-3f,
    float Beta1 = 0.9f,
    float Beta2 = 0.999f,
    float Epsilon = 1e-8f,
    float WeightDecay = 0f,
    bool Amsgrad = false) : Optimizer(LearningRate)
{
    internal override void Validate()
    {
        base.Validate();
        Check(Beta1, Beta1 is >= 0 and < 1, nameof(Beta1), "in [0, 1)");
        Check(Beta2, Beta2 is >= 0 and < 1, nameof(Beta2), "in [0, 1)");
        Check(Epsilon, float.IsFinite(Epsilon) && Epsilon > 0, nameof(Epsilon), "above 0");
        Check(WeightDecay, float.IsFinite(WeightDecay) && WeightDecay >= 0, nameof(WeightDecay), "finite and not negative");
    }
}

/// <summary>
/// Adam whose weight decay does not pass through the moments (Loshchilov and Hutter, 2019). PyTorch:
/// <c>torch.optim.AdamW</c>; Keras: <c>AdamW</c>.
/// </summary>
/// <param name="LearningRate">Size of a step.</param>
/// <param name="Beta1">Decay of the mean of the gradients, in [0, 1).</param>
/// <param name="Beta2">Decay of the mean of their squares, in [0, 1).</param>
/// <param name="Epsilon">Added to the root of the second mean, above 0.</param>
/// <param name="WeightDecay">Share of the parameter, times the learning rate, taken off in each step; not negative.</param>
/// <param name="Amsgrad">Divide by the largest second mean so far (Reddi and others, 2018).</param>
public sealed record AdamW(
    float LearningRate = 1e-3f,
    float Beta1 = 0.9f,
    float Beta2 = 0.999f,
    float Epsilon = 1e-8f,
    float WeightDecay = 1e-2f,
    bool Amsgrad = false) : Optimizer(LearningRate)
{
    internal override void Validate()
    {
        base.Validate();
        Check(Beta1, Beta1 is >= 0 and < 1, nameof(Beta1), "in [0, 1)");
        Check(Beta2, Beta2 is >= 0 and < 1, nameof(Beta2), "in [0, 1)");
        Check(Epsilon, float.IsFinite(Epsilon) && Epsilon > 0, nameof(Epsilon), "above 0");
        Check(WeightDecay, float.IsFinite(WeightDecay) && WeightDecay >= 0, nameof(WeightDecay), "finite and not negative");
    }
}

/// <summary>
/// RMSprop (Hinton, 2012). PyTorch: <c>torch.optim.RMSprop</c>; Keras: <c>RMSprop</c>, whose decay is 0.9.
/// </summary>
/// <param name="LearningRate">Size of a step.</param>
/// <param name="Alpha">Decay of the mean of the squares of the gradients, in [0, 1).</param>
/// <param name="Epsilon">Added to the root of that mean, above 0.</param>
/// <param name="Momentum">Share of the last update that is kept, not negative; 0 keeps no buffer.</param>
/// <param name="WeightDecay">Multiple of the parameter added to its gradient (L2), not negative.</param>
/// <param name="Centered">Divide by the deviation of the gradients instead of the mean of their squares.</param>
public sealed record RmsProp(
    float LearningRate = 1e-2f,
    float Alpha = 0.99f,
    float Epsilon = 1e-8f,
    float Momentum = 0f,
    float WeightDecay = 0f,
    bool Centered = false) : Optimizer(LearningRate)
{
    internal override void Validate()
    {
        base.Validate();
        Check(Alpha, Alpha is >= 0 and < 1, nameof(Alpha), "in [0, 1)");
        Check(Epsilon, float.IsFinite(Epsilon) && Epsilon > 0, nameof(Epsilon), "above 0");
        Check(Momentum, float.IsFinite(Momentum) && Momentum >= 0, nameof(Momentum), "finite and not negative");
        Check(WeightDecay, float.IsFinite(WeightDecay) && WeightDecay >= 0, nameof(WeightDecay), "finite and not negative");
    }
}

/// <summary>
/// Stochastic gradient descent, with momentum if wished. PyTorch: <c>torch.optim.SGD</c>; Keras: <c>SGD</c>.
/// </summary>
/// <param name="LearningRate">Size of a step.</param>
/// <param name="Momentum">Share of the last update that is kept, not negative; 0 keeps no buffer.</param>
/// <param name="Dampening">Share of the gradient left out of the momentum buffer after the first step.</param>
/// <param name="WeightDecay">Multiple of the parameter added to its gradient (L2), not negative.</param>
/// <param name="Nesterov">Nesterov's momentum, which needs momentum and no dampening.</param>
public sealed record Sgd(
    float LearningRate,
    float Momentum = 0f,
    float Dampening = 0f,
    float WeightDecay = 0f,
    bool Nesterov = false) : Optimizer(LearningRate)
{
    internal override void Validate()
    {
        base.Validate();
        Check(Momentum, float.IsFinite(Momentum) && Momentum >= 0, nameof(Momentum), "finite and not negative");
        Check(Dampening, float.IsFinite(Dampening), nameof(Dampening), "finite");
        Check(WeightDecay, float.IsFinite(WeightDecay) && WeightDecay >= 0, nameof(WeightDecay), "finite and not negative");
        if (Nesterov && (Momentum <= 0 || Dampening != 0))
        {
            throw new ArgumentException(
                string.Create(CultureInfo.InvariantCulture, $"Nesterov requires Momentum > 0 and Dampening = 0, got Momentum {Momentum} and Dampening {Dampening}."),
                nameof(Nesterov));
        }
    }
}
