namespace MnistNative;

/// <summary>
/// How products of matrices and convolutions are computed. Values in memory, parameters among them, and sums are
/// float32 with any of them, so nothing is kept twice.
/// </summary>
public enum Precision
{
    /// <summary>From float32.</summary>
    Float32 = 0,

    /// <summary>
    /// From factors rounded to TF32: 10 bits of mantissa, float32's range. PyTorch:
    /// <c>torch.set_float32_matmul_precision("high")</c>.
    /// </summary>
    TensorFloat32 = 1,

    /// <summary>
    /// From factors rounded to bfloat16: 7 bits of mantissa, float32's range. PyTorch:
    /// <c>torch.set_float32_matmul_precision("medium")</c>.
    /// </summary>
    BFloat16 = 2,
}
