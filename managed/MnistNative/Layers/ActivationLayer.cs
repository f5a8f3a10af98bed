using MnistNative.Interop;

namespace MnistNative;

/// <summary>What all elementwise activations have.</summary>
internal abstract record ActivationLayer(string? Name) : Layer(CheckName(Name))
{
    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        MnActivationDesc desc = Describe();
        desc.StructSize = (uint)sizeof(MnActivationDesc);
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphActivation(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    /// <summary>Kind and numbers of the activation.</summary>
    private protected abstract MnActivationDesc Describe();
}
