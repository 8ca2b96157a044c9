using System.CommandLine;
using System.CommandLine.Parsing;
using CudaKernels.Comm;
using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Cli;

/// <summary>The `cudakernels` command: exit code 0 done, 1 the work failed, 2 wrong use, 130 interrupted.</summary>
internal static class CommandLine
{
    public const int Done = 0, Failed = 1, WrongUse = 2, Interrupted = 130;

    /// <param name="more">Verbs of a program that has more than the tool.</param>
    public static int Run(string[] arguments, params ReadOnlySpan<Command> more)
    {
        var root = new RootCommand("Object detection in C#: train, evaluate and run detectors with no native framework.")
        {
            DemoCommand.Create(),
            TrainCommand.Create(),
            EvalCommand.Create(),
            DetectCommand.Create(),
            ExportCommand.Create(),
            DataCommand.Create(),
            ModelsCommand.Create(),
            BenchCommand.Create(),
            MemoryCommand.Create(),
            KernelsCommand.Create(),
            EnvCommand.Create(),
        };
        foreach (var verb in more)
            root.Add(verb);
        try
        {
            var parsed = root.Parse(arguments);
            if (parsed.Errors.Count > 0 || arguments.Contains(""))
                throw new UsageException($"{WrongUseOf(parsed)}; see {Verb(parsed.CommandResult)} --help");
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (UsageException e)
        {
            return Say(e.Message, WrongUse);
        }
        catch (Exception e) when (e is DataException or TrainingException or KernelException or CollectiveException or TensorException or IOException or UnauthorizedAccessException)
        {
            return Say(e.Message, Failed);
        }
        catch (OutOfMemoryException)
        {
            return Say("the memory of this machine does not suffice; choose a smaller batch or imgsz", Failed);
        }
        catch (Exception e)
        {
            // Nobody foresaw it, so it is a fault of this program; a user still gets one line, with what a report of it needs.
            string place = e.StackTrace?.Split('\n')[0].Trim() ?? "";
            return Say($"internal error, please report it: {e.GetType().Name}: {e.Message} ({place})", Failed);
        }
    }

    /// <summary>One line on standard error.</summary>
    public static int Say(string message, int exitCode)
    {
        Console.Error.WriteLine($"cudakernels: {message.ReplaceLineEndings(" ")}");
        return exitCode;
    }

    private static string WrongUseOf(ParseResult parsed)
    {
        if (parsed.Errors.Count == 0)
            return "an argument is empty; is a variable of the shell not set?";
        if (parsed.CommandResult.Command.Subcommands.Count > 0)
        {
            string names = string.Join(", ", parsed.CommandResult.Command.Subcommands.Select(c => c.Name));
            return parsed.UnmatchedTokens is [var word, ..]
                ? $"{word} is not known here; did you mean {Nearest.To(word, parsed.CommandResult.Command.Subcommands.Select(c => c.Name))}? There are {names}"
                : $"expects one of {names}";
        }
        var error = parsed.Errors[0];
        return error.SymbolResult is OptionResult { Option: var option, Tokens: [var value, ..] } && Expectation(option.ValueType) is { } expected
            ? $"{option.Name} expects {expected} but is {value.Value}"
            : error.Message.TrimEnd('.');
    }

    private static string? Expectation(Type type) => type.IsEnum ? string.Join(" or ", Enum.GetNames(type).Select(n => n.ToLowerInvariant())) : Type.GetTypeCode(Nullable.GetUnderlyingType(type) ?? type) switch
    {
        TypeCode.Int32 => "a whole number",
        TypeCode.UInt64 => "a whole number of at least 0",
        TypeCode.Double => "a number",
        _ => null,
    };

    private static string Verb(CommandResult command) =>
        command.Parent is CommandResult parent ? $"{Verb(parent)} {command.Command.Name}" : "cudakernels";
}

/// <summary>The command was used in a way it does not offer; the message says what it expects.</summary>
internal sealed class UsageException(string message) : Exception(message);
