// Builds the seed network and predicts one image. Prints the time of the answer, in milliseconds since 1970, and the
// memory that the process holds then, in KiB.

using System.Globalization;
using MnistNative;

using Model model = Sequential.Input(1, 28, 28)
    .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
    .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
    .Flatten()
    .Linear(128).ReLU()
    .Linear(10)
    .Build(seed: 42);
_ = model.Predict(new float[784])[0];

double now = (DateTime.UtcNow - DateTime.UnixEpoch).TotalMilliseconds;
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{now:F1} {Environment.WorkingSet / 1024}"));
