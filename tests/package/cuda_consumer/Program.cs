// A program that wants a graphics processor, with MnistNative and MnistNative.Cuda added from the feed. Prints where the
// plugin is and what came of opening a card. Ends with 0 if the plugin was found and speaks the library's interface,
// whether there is a card or not.

using MnistNative;

Console.WriteLine($"plugin: {Device.CudaPluginPath}");
try
{
    using Device device = Device.Cuda();
    Console.WriteLine($"device: {device.Describe()}");
    return 0;
}
catch (DeviceUnavailableException e)
{
    Console.WriteLine($"reason: {e.Reason}: {e.Message}");
    return e.Reason is DeviceUnavailableReason.NoPlugin or DeviceUnavailableReason.PluginMismatch ? 1 : 0;
}
