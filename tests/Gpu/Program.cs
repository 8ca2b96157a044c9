using System.Diagnostics;
using CudaKernels.Cli;
using CudaKernels.Tests;

return CommandLine.Run(args, VerifyCommand.Create(arguments => new ProcessStartInfo(Environment.ProcessPath!, arguments)));
