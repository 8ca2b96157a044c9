using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using CudaKernels.Detection;

namespace CudaKernels.Cli;

/// <summary>Lists the models, or shows one: parameters, cost and the shape of every stage.</summary>
internal static class ModelsCommand
{
    private const int MostClasses = 100_000;

    private static readonly JsonSerializerOptions Format = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static Command Create()
    {
        var name = new Argument<string?>("NAME") { Description = "Model to show; all without it.", Arity = ArgumentArity.ZeroOrOne };
        var classes = new Option<int>("--classes") { Description = "Number of classes.", DefaultValueFactory = _ => 80 };
        var size = new Option<int>("--imgsz") { Description = "Side of the square input in pixels.", DefaultValueFactory = _ => 512 };
        Option<string?> json = SharedOptions.Json();
        var command = new Command("models", """
            Shows parameters, multiply-accumulates (GMAC, convolutions and linear layers) and output shapes.

            Example:
              cudakernels models ttfnet-18 --classes 20 --imgsz 384
            """) { name, classes, size, json };
        command.SetAction(parsed =>
        {
            var report = new Report(parsed.GetValue(json));
            if (parsed.GetValue(classes) is < 1 or > MostClasses)
                throw new UsageException($"--classes expects 1 to {MostClasses} but is {parsed.GetValue(classes)}");
            var wanted = parsed.GetValue(name) is { } one ? [one] : ModelCatalog.Names;
            var found = wanted.Select(n => ModelSummary.Of(n, parsed.GetValue(classes), parsed.GetValue(size))).ToArray();
            report.Table(["model", "parameters", "GMAC"],
                found.Select(m => (string[])[m.Name, m.Parameters.ToString("N0", CultureInfo.InvariantCulture), Gmac(m.Gmac)]));
            if (found.Length == 1 && parsed.GetValue(name) is not null)
                report.Table(["stage", "output", "GMAC"], found[0].Stages.Select(s => (string[])[s.Name, string.Join(" x ", s.Shape), Gmac(s.Gmac)]));
            report.Json(parsed.GetValue(name) is not null ? JsonSerializer.Serialize(found[0], Format) : JsonSerializer.Serialize(found, Format));
            return CommandLine.Done;
        });
        return command;
    }

    private static string Gmac(double value) => value.ToString("F3", CultureInfo.InvariantCulture);
}
