namespace MnistNative.Managed;

/// <summary>Layers that follow one another, and their training.</summary>
/// <param name="classes">Features of the last layer's result.</param>
/// <param name="layers">The layers.</param>
public sealed class Network(int classes, params Layer[] layers)
{
    private readonly CrossEntropy _loss = new(classes);

    /// <summary>The parameters in order.</summary>
    public IReadOnlyList<Parameter> Parameters { get; } = [.. layers.SelectMany(layer => layer.Parameters)];

    /// <summary>The network that the project is measured on: two convolutions, two linear layers, for 1×28×28 images.</summary>
    public static Network Seed() => new(
        10,
        new Conv2d(1, 28, 28, 32, kernel: 3, padding: 1, relu: true, dataGradient: false),
        new MaxPool2d(32, 28, 28, kernel: 2),
        new Conv2d(32, 14, 14, 64, kernel: 3, padding: 1, relu: true, dataGradient: true),
        new MaxPool2d(64, 14, 14, kernel: 2),
        new Linear(64, 49, 128, relu: true, dataGradient: true),
        new Linear(128, 1, 10, relu: false, dataGradient: true));

    /// <summary>The last layer's result.</summary>
    public AlignedBuffer Forward(AlignedBuffer images, int count) =>
        layers.Aggregate(images, (values, layer) => layer.Forward(values, count));

    /// <summary>One training step with mean cross-entropy; returns the loss before it.</summary>
    public double Step(AlignedBuffer images, int[] labels, Adam optimizer)
    {
        (double loss, AlignedBuffer? diff) = _loss.Of(Forward(images, labels.Length), labels);
        for (int i = layers.Length - 1; i >= 0 && diff is not null; i--)
        {
            diff = layers[i].Backward(diff, labels.Length);
        }

        optimizer.Step(Parameters);
        return loss;
    }
}
