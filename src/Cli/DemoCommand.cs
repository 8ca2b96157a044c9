using System.CommandLine;
using System.Diagnostics;
using CudaKernels.Detection;

namespace CudaKernels.Cli;

/// <summary>The whole way on generated pictures: make data, train, evaluate, draw.</summary>
internal static class DemoCommand
{
    private const int Images = 640, ImageSize = 160, Pictures = 8, Enlarge = 3;

    public static Command Create()
    {
        var output = new Option<string?>("--out") { Description = "Folder for data, run and pictures. [default: runs/demo]", HelpName = "DIR" };
        Option<ulong> seed = SharedOptions.Seed();
        Option<string> device = SharedOptions.Device();
        Option<string> precision = SharedOptions.Precision();
        Option<int> threads = SharedOptions.Threads();
        var command = new Command("demo", """
            Trains a small TTFNet from scratch on pictures it makes, evaluates it and draws what it finds: a few minutes.

            Example:
              cudakernels demo --out runs/demo --seed 1
            """) { output, seed, device, precision, threads };
        command.SetAction(parsed =>
        {
            long start = Stopwatch.GetTimestamp();
            string folder = parsed.GetValue(output) ?? TrainCommand.FreeFolder(Path.Combine("runs", "demo"));
            using var progress = new TrainProgress(new Report(null).Console);
            using var on = SharedOptions.OpenDevice(parsed.GetValue(device)!, parsed.GetValue(threads), progress.Note, parsed.GetValue(precision)!);
            progress.Note($"making {Images} pictures in {Path.Combine(folder, "data")}");
            string data = SyntheticGenerator.Write(Path.Combine(folder, "data"), Images, ImageSize, parsed.GetValue(seed), Environment.ProcessorCount);
            var config = new TrainConfig
            {
                Data = data,
                Model = "ttfnet-nano",
                Imgsz = ImageSize,
                Seed = parsed.GetValue(seed),
                Epochs = 20,
                Drops = [15, 18],
                Batch = 4,
                Lr = 0.01f,
                WarmupSteps = 100,
                Ema = 0.99f,
                EvalInterval = 5,
            };
            using var interrupt = new Interrupt();
            using var trainer = Trainer.Start(config, folder, on, progress);
            var outcome = trainer.Run(interrupt.Requested);
            if (outcome == TrainOutcome.Interrupted)
                return CommandLine.Interrupted;
            DrawFound(trainer.Folder, config.Data, parsed.GetValue(device)!, parsed.GetValue(threads));
            progress.Finish(trainer.Folder, outcome);
            progress.Note($"{Path.Combine(folder, "pictures")}: what the trained model finds on {Pictures} pictures it has not seen");
            progress.Note($"{Stopwatch.GetElapsedTime(start).TotalSeconds:F0} s in all");
            return CommandLine.Done;
        });
        return command;
    }

    /// <summary>Through the same door as a user's program: load the saved file, detect, draw.</summary>
    private static void DrawFound(RunFolder run, string data, string device, int threads)
    {
        using var detector = Detector.Load(run.Best, device, threads);
        var validation = DatasetSource.Open(data, "val");
        OutputFolder.Make(run.File("pictures"));
        for (int i = 0; i < Math.Min(Pictures, validation.Count); i++)
        {
            string path = validation.Read(i).ImagePath;
            var image = ImageFile.Load(path);
            var large = new ImageBuffer(Enlarge * image.Width, Enlarge * image.Height);
            Resize.Bilinear(image, large.Width, large.Height, large.Pixels);
            var found = detector.Detect(image).Select(d => new PictureBox(
                new Box(Enlarge * d.Box.X1, Enlarge * d.Box.Y1, Enlarge * d.Box.X2, Enlarge * d.Box.Y2), d.Class, d.Label, d.Score));
            ImageFile.SavePng(AnnotatedPicture.Draw(large, [.. found]),
                Path.Combine(run.File("pictures"), Path.GetFileNameWithoutExtension(path) + ".png"));
        }
    }
}
