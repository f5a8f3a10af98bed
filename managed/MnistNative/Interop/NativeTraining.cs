namespace MnistNative.Interop;

/// <summary>Losses and optimizers as the native library takes them.</summary>
internal static unsafe class NativeTraining
{
    public static MnLossDesc Describe(Loss loss, int node)
    {
        var desc = new MnLossDesc { StructSize = (uint)sizeof(MnLossDesc), Node = node, Weight = 1 };
        switch (loss)
        {
            case CrossEntropyLoss entropy:
                desc.Kind = (int)MnLossKind.CrossEntropy;
                desc.Reduction = (int)entropy.Reduction;
                return desc;
            case OutputGradientLoss gradient:
                desc.Kind = (int)MnLossKind.OutputGradient;
                desc.Reduction = (int)gradient.Reduction;
                return desc;
            default:
                throw new ArgumentException($"{loss.GetType().Name} is no loss of this library.", nameof(loss));
        }
    }

    public static MnOptimizerDesc Describe(Optimizer optimizer)
    {
        optimizer.Validate();
        var desc = new MnOptimizerDesc { StructSize = (uint)sizeof(MnOptimizerDesc), LearningRate = optimizer.LearningRate };
        switch (optimizer)
        {
            case Adam adam:
                desc.Kind = (int)MnOptimizerKind.Adam;
                desc.Beta1 = adam.Beta1;
                desc.Beta2 = adam.Beta2;
                desc.Epsilon = adam.Epsilon;
                desc.WeightDecay = adam.WeightDecay;
                return desc;
            case Sgd sgd:
                desc.Kind = (int)MnOptimizerKind.Sgd;
                desc.Momentum = sgd.Momentum;
                desc.Dampening = sgd.Dampening;
                desc.WeightDecay = sgd.WeightDecay;
                desc.Nesterov = sgd.Nesterov ? 1 : 0;
                return desc;
            default:
                throw new ArgumentException($"{optimizer.GetType().Name} is no optimizer of this library.", nameof(optimizer));
        }
    }
}
