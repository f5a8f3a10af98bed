using System.CommandLine;
using System.Globalization;
using MnistNative.Peers;

// Before anything else is loaded: bench/startup.sh times it.
if (args is ["first-prediction", string library])
{
    FirstPrediction.Run(library);
    return 0;
}

Option<string> network = new("--network") { Description = "Which network.", DefaultValueFactory = _ => "seed" };
network.AcceptOnlyFromAmong(TorchNetworks.Names);
Option<string> graph = new("--network") { Description = "Which network.", DefaultValueFactory = _ => "seed" };
graph.AcceptOnlyFromAmong(OnnxNetworks.Names);
Option<int> batchSize = new("--batch-size") { Description = "Images of a batch.", DefaultValueFactory = _ => 64 };
Option<string> mode = new("--mode") { Description = "What to measure.", DefaultValueFactory = _ => "training" };
mode.AcceptOnlyFromAmong("training", "inference");
Option<int> threads = new("--threads")
{
    Description = "Threads that compute.",
    DefaultValueFactory = _ => Environment.ProcessorCount,
};
Option<int> epochs = new("--epochs") { Description = "Passes over the training images.", DefaultValueFactory = _ => 2 };
Option<DirectoryInfo> data = new Option<DirectoryInfo>("--data")
{
    Description = "Folder of the four IDX files of MNIST, compressed by gzip.",
    Required = true,
}.AcceptExistingOnly();

var torchBench = new Command("torchsharp", "Images a second of TorchSharp: the median of five runs after a warm-up.")
{
    network, batchSize, mode, threads,
};
torchBench.SetAction(parsed => Print(TorchBench.Measure(
    parsed.GetValue(network)!,
    parsed.GetValue(batchSize),
    parsed.GetValue(mode) == "training",
    parsed.GetValue(threads))));

var onnxBench = new Command("onnxruntime", "Images a second of ONNX Runtime in inference: the median of five runs after a warm-up.")
{
    graph, batchSize, threads,
};
onnxBench.SetAction(parsed => Print(OnnxBench.Measure(
    parsed.GetValue(graph)!,
    parsed.GetValue(batchSize),
    parsed.GetValue(threads))));

var torchTrain = new Command("train", "Train the seed network on MNIST with TorchSharp; a line an epoch.")
{
    data, epochs, threads,
};
torchTrain.SetAction(parsed => TorchTraining.Run(
    parsed.GetValue(data)!.FullName,
    parsed.GetValue(epochs),
    parsed.GetValue(threads)));

var root = new RootCommand("The libraries that MnistNative is compared with, under the same stop watch.")
{
    torchBench, onnxBench, torchTrain,
};
return root.Parse(args).Invoke();

static void Print(double imagesPerSecond) =>
    Console.WriteLine(imagesPerSecond.ToString("F1", CultureInfo.InvariantCulture));
