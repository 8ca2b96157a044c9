using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>Writes a model as ONNX and checks the file against the model itself.</summary>
internal static class ExportCommand
{
    public static Command Create()
    {
        var weights = new Option<string>("--weights") { Description = "Model (safetensors).", Required = true, HelpName = "FILE" };
        var onnx = new Option<string>("--onnx") { Description = "File to write.", Required = true, HelpName = "FILE" };
        Option<string?> json = SharedOptions.Json();
        var command = new Command("export", """
            Writes a model as ONNX, operator set 19, reads the file back, runs it and compares. Input images: float32 (N,3,H,W), red, green, blue
            in levels 0 to 255. Outputs of TTFNet: heatmap (logits, the sigmoid gives scores) and size (pixels to the left, top, right, bottom).

            Example:
              cudakernels export --weights best.safetensors --onnx best.onnx
            """) { weights, onnx, json };
        command.SetAction(parsed =>
        {
            string from = parsed.GetRequiredValue(weights), to = parsed.GetRequiredValue(onnx);
            if (Path.GetFullPath(from) == Path.GetFullPath(to))
                throw new UsageException($"--onnx {to} is the file of the weights; choose another");
            var report = new Report(parsed.GetValue(json));
            var file = ModelFile.Open(from);
            var model = file.CreateModel();
            using var device = new CpuDevice();
            using var frozen = file.Freeze(model, device);
            OnnxFile.Write(to, OnnxExporter.Export(model, device, file.ImageSize));
            var differences = OnnxCheck.Run(to, model, device);
            if (differences.FirstOrDefault(d => !d.IsWithin) is { } wrong)
            {
                File.Delete(to);
                throw new DataException($"{to}: does not compute what {from} computes, and was removed; please report it: {wrong}");
            }
            report.Table(["output", "largest value", "largest difference"],
                differences.Select(d => (string[])[d.Output, Text(d.Largest), Text(d.Difference)]));
            report.Line($"{to} written and checked");
            report.Json(new JsonObject
            {
                ["file"] = to,
                ["bytes"] = new FileInfo(to).Length,
                ["outputs"] = new JsonArray([.. differences.Select(d => new JsonObject
                {
                    ["name"] = d.Output, ["largest"] = d.Largest, ["difference"] = d.Difference,
                })]),
            }.ToJsonString(new JsonSerializerOptions { WriteIndented = parsed.GetValue(json) != "-" }));
            return CommandLine.Done;
        });
        return command;
    }

    private static string Text(double value) => value.ToString("G4", CultureInfo.InvariantCulture);
}
