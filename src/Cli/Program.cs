using CudaKernels.Cli;

return CommandLine.Run(args);
