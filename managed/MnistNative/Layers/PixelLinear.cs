using MnistNative.Interop;

namespace MnistNative;

/// <summary>A 1×1 convolution whose weights have the two dimensions of a linear layer.</summary>
internal sealed partial record PixelLinearLayer
{
    public override int AddTo(GraphBuilder graph, int source, string? name)
    {
        var convolution = new Conv2dLayer(OutFeatures, 1, 1, 0, 1, 1, Bias, PaddingMode.Zeros, Name);
        int node = convolution.AddTo(graph, source, name);
        graph.AddPixelLinear(node);
        return node;
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// A fully connected layer over the channels of each pixel of C×H×W images, as ConvNeXt has it: a 1×1 convolution whose
    /// weights have a linear layer's shape. Parameters: <c>weight</c> of outFeatures×C, <c>bias</c> of outFeatures.
    /// PyTorch: <c>nn.Linear(C, outFeatures, bias)</c> between two <c>permute</c>; Keras: <c>Dense</c> of images with the
    /// channels last.
    /// </summary>
    /// <param name="outFeatures">Number of output channels.</param>
    /// <param name="bias">Whether a bias is added.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential PixelLinear(int outFeatures, bool bias = true, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(outFeatures, 1);
        return Add(new PixelLinearLayer(outFeatures, bias, name));
    }
}
