// What a user of the package writes: train on the built-in digits, save, load, predict. Ends with 0 if all is right.
// The argument is a folder that may be written to.

using MnistNative;

string folder = args[0];
ImageDataset train = SyntheticDigits.Generate(6000, seed: 1);
ImageDataset test = SyntheticDigits.Generate(500, seed: 2);

using Model model = Sequential.Input(1, 28, 28)
    .Normalize(mean: 0.1307f, std: 0.3081f)
    .Conv2d(16, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
    .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
    .Flatten()
    .Linear(64).ReLU()
    .Linear(10)
    .Build(seed: 42);

await model.FitAsync(train, new FitOptions { Epochs = 1, BatchSize = 64, Optimizer = new Adam(1e-3f) });
double accuracy = model.Evaluate(test).Accuracy ?? 0;
if (!(accuracy > 0.7))
{
    Console.Error.WriteLine($"The accuracy after an epoch is {accuracy}.");
    return 1;
}

string file = Path.Combine(folder, "digits.safetensors");
model.Save(file);
using Model loaded = Model.Load(file);
float[] image = test.GetImage(0);
if (!loaded.Forward(image).SequenceEqual(model.Forward(image)))
{
    Console.Error.WriteLine("The loaded model gives other numbers.");
    return 1;
}

Console.WriteLine(
    $"accuracy {accuracy:P1}, a {test.Labels.Span[0]} is taken for a {loaded.Predict(image)[0]}, " +
    $"{model.Device.Describe().Name}; {MnistNativeRuntime.LoadTrace.Trim()}");
return 0;
