using MnistNative.Cli;

return await CommandLine.RunAsync(args, CliContext.ForProcess());
