using System.CommandLine;
using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Cli;

/// <summary>The `cudakernels` command: exit code 0 done, 1 the work failed, 2 wrong use, 130 interrupted.</summary>
internal static class CommandLine
{
    public const int Done = 0, Failed = 1, WrongUse = 2, Interrupted = 130;

    public static int Run(string[] arguments)
    {
        var root = new RootCommand("Object detection in C#: train, evaluate and run detectors with no native framework.")
        {
            DemoCommand.Create(),
            TrainCommand.Create(),
            EvalCommand.Create(),
            DetectCommand.Create(),
            DataCommand.Create(),
            ModelsCommand.Create(),
            BenchCommand.Create(),
            KernelsCommand.Create(),
            EnvCommand.Create(),
        };
        var parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0)
        {
            Console.Error.WriteLine($"cudakernels: {parsed.Errors[0].Message} See cudakernels {parsed.CommandResult.Command.Name} --help.");
            return WrongUse;
        }
        try
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (UsageException e)
        {
            Console.Error.WriteLine($"cudakernels: {e.Message}");
            return WrongUse;
        }
        catch (Exception e) when (e is DataException or TrainingException or KernelException or TensorException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"cudakernels: {e.Message.ReplaceLineEndings(" ")}");
            return Failed;
        }
    }
}

/// <summary>The command was used in a way it does not offer; the message says what it expects.</summary>
internal sealed class UsageException(string message) : Exception(message);
