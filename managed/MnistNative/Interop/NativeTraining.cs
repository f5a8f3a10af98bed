namespace MnistNative.Interop;

/// <summary>Losses and optimizers as the native library takes them.</summary>
internal static unsafe class NativeTraining
{
    /// <summary>Describes a loss of a node.</summary>
    /// <param name="loss">The loss.</param>
    /// <param name="node">Id of the node.</param>
    /// <param name="classWeights">The loss's class weights, fixed by the caller while the result is used; or null.</param>
    public static MnLossDesc Describe(Loss loss, int node, float* classWeights)
    {
        var desc = new MnLossDesc
        {
            StructSize = (uint)sizeof(MnLossDesc),
            Node = node,
            Weight = 1,
            Reduction = (int)loss.Reduction,
            ClassWeights = classWeights,
            ClassWeightCount = loss.ClassWeights?.Length ?? 0,
        };
        switch (loss)
        {
            case LabelLoss labels:
                desc.Kind = (int)labels.Kind;
                desc.LabelSmoothing = labels.LabelSmoothing;
                desc.Ignores = labels.IgnoreIndex is null ? 0 : 1;
                desc.IgnoreIndex = labels.IgnoreIndex ?? 0;
                return desc;
            case TargetLoss targets:
                desc.Kind = (int)targets.Kind;
                desc.Delta = targets.Delta;
                return desc;
            case OutputGradientLoss:
                desc.Kind = (int)MnLossKind.OutputGradient;
                return desc;
            default:
                throw new ArgumentException($"{loss.GetType().Name} is no loss of this library.", nameof(loss));
        }
    }

    /// <summary>The parameters that a group says something of.</summary>
    public static MnParameterOptions[] Describe(IReadOnlyList<ParameterGroup> groups, IReadOnlyList<ParameterInfo> parameters)
    {
        foreach (ParameterGroup group in groups)
        {
            if (group.Prefix is { } prefix && !parameters.Any(group.Contains))
            {
                throw new ArgumentException(
                    $"No parameter's name begins with \"{prefix}\"; there are {string.Join(", ", parameters.Select(parameter => parameter.Name))}.",
                    nameof(groups));
            }
        }

        var options = new List<MnParameterOptions>();
        for (int i = 0; i < parameters.Count; i++)
        {
            ParameterInfo parameter = parameters[i];
            if (groups.FirstOrDefault(g => g.Contains(parameter)) is not { } group)
            {
                continue;
            }

            bool frozen = parameter.IsTrainable ? group.Frozen : group.FrozenStatistics;
            options.Add(new MnParameterOptions
            {
                StructSize = (uint)sizeof(MnParameterOptions),
                Parameter = i,
                Frozen = frozen ? 1 : 0,
                LearningRateFactor = group.LearningRateFactor,
                WeightDecay = group.WeightDecay ?? -1,
            });
        }

        return [.. options];
    }

    /// <summary>The moments that an optimizer keeps: a bit for each <see cref="MnParameterPart"/>.</summary>
    public static uint MomentsOf(Optimizer optimizer)
    {
        MnOptimizerDesc desc = Describe(optimizer);
        uint parts;
        Native.Check(NativeMethods.OptimizerMoments(&desc, &parts));
        return parts;
    }

    public static MnOptimizerDesc Describe(Optimizer optimizer)
    {
        optimizer.Validate();
        var desc = new MnOptimizerDesc { StructSize = (uint)sizeof(MnOptimizerDesc), LearningRate = optimizer.LearningRate };
        switch (optimizer)
        {
            case Adam adam:
                desc.Kind = (int)MnOptimizerKind.Adam;
                (desc.Beta1, desc.Beta2, desc.Epsilon) = (adam.Beta1, adam.Beta2, adam.Epsilon);
                desc.WeightDecay = adam.WeightDecay;
                desc.Amsgrad = adam.Amsgrad ? 1 : 0;
                return desc;
            case AdamW adamW:
                desc.Kind = (int)MnOptimizerKind.Adamw;
                (desc.Beta1, desc.Beta2, desc.Epsilon) = (adamW.Beta1, adamW.Beta2, adamW.Epsilon);
                desc.WeightDecay = adamW.WeightDecay;
                desc.Amsgrad = adamW.Amsgrad ? 1 : 0;
                return desc;
            case RmsProp rmsProp:
                desc.Kind = (int)MnOptimizerKind.Rmsprop;
                (desc.Alpha, desc.Epsilon, desc.Momentum) = (rmsProp.Alpha, rmsProp.Epsilon, rmsProp.Momentum);
                desc.WeightDecay = rmsProp.WeightDecay;
                desc.Centered = rmsProp.Centered ? 1 : 0;
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
