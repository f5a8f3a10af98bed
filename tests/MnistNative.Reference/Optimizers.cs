using System.Numerics;

namespace MnistNative.Reference;

/// <summary>Moves parameters along their gradients, with PyTorch's formulas.</summary>
public abstract class Optimizer<T>(double weightDecay)
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private readonly Dictionary<Parameter<T>, T[]> _first = [];
    private readonly Dictionary<Parameter<T>, T[]> _second = [];

    /// <summary>Number of the step under way, from 1.</summary>
    protected int StepNumber { get; private set; }

    /// <summary>One step of all parameters.</summary>
    public void Step(IEnumerable<Parameter<T>> parameters)
    {
        StepNumber++;
        foreach (Parameter<T> parameter in parameters)
        {
            T[] first = State(_first, parameter);
            T[] second = State(_second, parameter);
            for (int i = 0; i < parameter.Value.Length; i++)
            {
                T gradient = parameter.Gradient[i] + (T.CreateTruncating(weightDecay) * parameter.Value[i]);
                parameter.Value[i] -= Movement(gradient, ref first[i], ref second[i]);
            }
        }
    }

    /// <summary>What is subtracted from a value, given its gradient and its state, which is 0 at first.</summary>
    protected abstract T Movement(T gradient, ref T first, ref T second);

    private static T[] State(Dictionary<Parameter<T>, T[]> states, Parameter<T> parameter)
    {
        if (!states.TryGetValue(parameter, out T[]? state))
        {
            states.Add(parameter, state = new T[parameter.Value.Length]);
        }

        return state;
    }
}

/// <summary>Stochastic gradient descent; the first gradient enters the momentum buffer undamped.</summary>
public sealed class Sgd<T>(double learningRate, double momentum = 0, double dampening = 0, double weightDecay = 0, bool nesterov = false)
    : Optimizer<T>(weightDecay)
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    protected override T Movement(T gradient, ref T first, ref T second)
    {
        T share = T.CreateTruncating(momentum);
        if (momentum != 0)
        {
            first = StepNumber == 1 ? gradient : (share * first) + (T.CreateTruncating(1 - dampening) * gradient);
            gradient = nesterov ? gradient + (share * first) : first;
        }

        return T.CreateTruncating(learningRate) * gradient;
    }
}

/// <summary>Adam.</summary>
public sealed class Adam<T>(
    double learningRate = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8, double weightDecay = 0)
    : Optimizer<T>(weightDecay)
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    protected override T Movement(T gradient, ref T first, ref T second)
    {
        first += T.CreateTruncating(1 - beta1) * (gradient - first);
        second += T.CreateTruncating(1 - beta2) * ((gradient * gradient) - second);
        T correction1 = T.CreateTruncating(1 - Math.Pow(beta1, StepNumber));
        T correction2 = T.CreateTruncating(1 - Math.Pow(beta2, StepNumber));
        return T.CreateTruncating(learningRate) * (first / correction1)
            / (T.Sqrt(second / correction2) + T.CreateTruncating(epsilon));
    }
}
