using System.Numerics;

namespace MnistNative.Managed;

/// <summary>Adam with PyTorch's formulas, one pass over memory.</summary>
public sealed unsafe class Adam(
    float learningRate = 1e-3f, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f)
{
    private const int Piece = 16384;

    private int _step;

    /// <summary>One step of all parameters.</summary>
    public void Step(IReadOnlyList<Parameter> parameters)
    {
        _step++;
        float size = (float)(learningRate / (1 - Math.Pow(beta1, _step)));
        float correction = (float)(1 / Math.Sqrt(1 - Math.Pow(beta2, _step)));
        foreach (Parameter parameter in parameters)
        {
            int length = parameter.Value.Length;
            Work.For((length + Piece - 1) / Piece, 20L * length, piece =>
                Update(parameter, piece * Piece, Math.Min(length, (piece + 1) * Piece), size, correction));
        }
    }

    private void Update(Parameter parameter, int start, int end, float size, float correction)
    {
        float* value = parameter.Value.Pointer;
        float* gradient = parameter.Gradient.Pointer;
        float* first = parameter.Moment1.Pointer;
        float* second = parameter.Moment2.Pointer;
        var share1 = new Vector<float>(1 - beta1);
        var share2 = new Vector<float>(1 - beta2);
        var sizes = new Vector<float>(size);
        var corrections = new Vector<float>(correction);
        var epsilons = new Vector<float>(epsilon);
        int i = start;
        for (; i + Vector<float>.Count <= end; i += Vector<float>.Count)
        {
            Vector<float> g = Vector.Load(gradient + i);
            Vector<float> m = Vector.Load(first + i);
            Vector<float> v = Vector.Load(second + i);
            m = Vector.FusedMultiplyAdd(share1, g - m, m);
            v = Vector.FusedMultiplyAdd(share2, (g * g) - v, v);
            m.Store(first + i);
            v.Store(second + i);
            (Vector.Load(value + i) - (sizes * m / ((Vector.SquareRoot(v) * corrections) + epsilons))).Store(value + i);
        }

        for (; i < end; i++)
        {
            float g = gradient[i];
            first[i] += (1 - beta1) * (g - first[i]);
            second[i] += (1 - beta2) * ((g * g) - second[i]);
            value[i] -= size * first[i] / ((MathF.Sqrt(second[i]) * correction) + epsilon);
        }
    }
}
