using System.CommandLine;
using CudaKernels.Cli;

return CommandLine.Run(args);
