namespace MnistNative;

/// <summary>A data set in two parts.</summary>
/// <param name="Train">The images to train on.</param>
/// <param name="Test">The images to test with.</param>
public sealed record MnistData(ImageDataset Train, ImageDataset Test);
