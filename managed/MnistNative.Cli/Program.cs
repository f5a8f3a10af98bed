using MnistNative.Cli;

using var interruption = new Interruption();
return interruption.ExitCode(await CommandLine.RunAsync(args, CliContext.ForProcess(), interruption.Token));
