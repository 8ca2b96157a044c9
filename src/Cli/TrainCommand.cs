using System.CommandLine;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>Trains a detector on the user's data, from the start or from a run's last checkpoint.</summary>
internal static class TrainCommand
{
    public static Command Create()
    {
        var data = new Option<string?>("--data") { Description = "VOC folder, YOLO data.yaml, or a YAML that names COCO JSON files.", HelpName = "DATA" };
        var model = new Option<string?>("--model") { Description = $"One of {string.Join(", ", ModelCatalog.Names)}. [default: ttfnet-18]" };
        var size = new Option<int?>("--imgsz") { Description = "Side of the network input in pixels, a multiple of 32. [default: 512]" };
        var epochs = new Option<int?>("--epochs") { Description = "Epochs; drops of the rate move along. [default: the recipe's]" };
        var batch = new Option<int?>("--batch") { Description = "Pictures a step, of all ranks together. [default: 16]" };
        var ranks = new Option<int?>("--ranks") { Description = "Devices that train as one: threads of this process, each with its part of the batch and of --threads. [default: as many as --device names]", HelpName = "R" };
        var comm = new Option<RankTransport>("--comm") { Description = "How ranks meet: inprocess as threads, mpi where mpirun started them, nccl for GPUs.", HelpName = "inprocess|mpi|nccl", DefaultValueFactory = _ => RankTransport.InProcess };
        var bnGroup = new Option<int?>("--bn-group") { Description = "Pictures, of several ranks at a time, that share the statistics of batch norm. [default: all]", HelpName = "N" };
        var recipe = new Option<string?>("--recipe") { Description = "1x, 2x or 10x: epochs, drops and augmentation. [default: 2x]" };
        var workers = new Option<int?>("--workers") { Description = "Threads that read pictures. [default: 2]", HelpName = "N" };
        var recompute = new Option<string?>("--recompute")
        {
            Description = "Activations of the backbone: none keeps them, stages computes them again in the backward pass, auto does where memory is short. Same results. [default: auto]",
            HelpName = "auto|none|stages",
        };
        var seed = new Option<ulong?>("--seed") { Description = "Seed of all random numbers. [default: 1]" };
        var output = new Option<string?>("--out") { Description = "Folder of the run. [default: runs/MODEL, or runs/MODEL-2, ...]", HelpName = "RUN" };
        var resume = new Option<string?>("--resume") { Description = "Go on with the run in this folder.", HelpName = "RUN" };
        var file = new Option<string?>("--config") { Description = "YAML with any of the keys below.", HelpName = "FILE.yaml" };
        var settings = new Argument<string[]>("key=value") { Description = "Any of: " + string.Join(", ", ConfigKeys.Names) + ".", Arity = ArgumentArity.ZeroOrMore };
        var profile = new Option<bool>("--profile") { Description = "Show at the end where the time went, kernel by kernel and by the host's work, and what went between ranks." };
        Option<string> device = SharedOptions.Device();
        Option<string> precision = SharedOptions.Precision();
        Option<int> threads = SharedOptions.Threads();
        var command = new Command("train", """
            Trains a detector from scratch. Ctrl-C saves and ends; --resume goes on bit for bit.

            Examples:
              cudakernels train --data data.yaml --model ttfnet-18 --imgsz 512 --recipe 2x
              cudakernels train --data VOC2007 --epochs 60 lr=0.005 ema=0.99
              cudakernels train --resume runs/ttfnet-18
              cudakernels train --data data.yaml --device cuda:0,cuda:1 --batch 32
              mpirun -np 4 cudakernels train --data data.yaml --comm mpi --batch 32
            """) { settings, data, model, size, epochs, batch, ranks, comm, bnGroup, recipe, workers, recompute, seed, device, precision, threads, output, resume, file, profile };
        command.SetAction(parsed =>
        {
            string[] arguments = parsed.GetValue(settings) ?? [];
            if (arguments.FirstOrDefault(a => a.StartsWith('-')) is { } stranger)
                throw new UsageException($"{stranger} is no option of train; did you mean {Nearest.To(stranger, parsed.CommandResult.Command.Options.Select(o => o.Name))}? See cudakernels train --help");
            List<Setting> all = [];
            if (parsed.GetValue(file) is { } path)
                all.AddRange(ConfigKeys.ReadFile(path));
            Flag("data", parsed.GetValue(data));
            Flag("model", parsed.GetValue(model));
            Flag("imgsz", parsed.GetValue(size));
            Flag("epochs", parsed.GetValue(epochs));
            Flag("batch", parsed.GetValue(batch));
            Flag("bn_group", parsed.GetValue(bnGroup));
            Flag("recipe", parsed.GetValue(recipe));
            Flag("workers", parsed.GetValue(workers));
            Flag("recompute", parsed.GetValue(recompute));
            Flag("seed", parsed.GetValue(seed));
            all.AddRange(arguments.Select(ConfigKeys.Parse));

            using var progress = new TrainProgress(new Report(null).Console);
            if (parsed.GetValue(resume) is { } run && parsed.GetValue(output) is not null)
                throw new UsageException($"--out and --resume exclude each other: {run} is gone on with in place");
            using var interrupt = new Interrupt();
            var launcher = new RankLauncher(parsed.GetValue(comm), parsed.GetValue(ranks), parsed.GetValue(device)!, parsed.GetValue(threads), parsed.GetValue(precision)!, progress.Note);
            return launcher.Run(rank =>
            {
                ITrainObserver observer = rank.IsFirst ? progress : new SilentObserver();
                using var trainer = parsed.GetValue(resume) is { } old
                    ? Trainer.Resume(old, all, rank, observer)
                    : Start(ConfigKeys.Build(all), parsed.GetValue(output), rank, observer);
                if (rank.IsFirst && parsed.GetValue(profile))
                    rank.Device.Profiler = new Profiler();
                var outcome = trainer.Run(interrupt.Requested);
                rank.Device.Profiler?.Stop();
                if (rank.IsFirst)
                    progress.Finish(trainer.Folder, outcome);
                if (rank.Device.Profiler is { } profiler)
                {
                    ProfileTable.Print(new Report(null), profiler);
                    TrafficTable.Print(new Report(null), trainer.Traffic, trainer.StepsDone);
                    if (progress.MedianPace is { } pace)
                        progress.Note(FormattableString.Invariant($"median {pace:F2} images/s on {rank.Size} rank{(rank.Size == 1 ? "" : "s")}"));
                }
                return outcome == TrainOutcome.Finished ? CommandLine.Done : CommandLine.Interrupted;
            });

            void Flag(string key, object? value)
            {
                if (value is not null)
                    all.Add(new Setting(key, FormattableString.Invariant($"{value}"), "--" + key));
            }
        });
        return command;
    }

    private static Trainer Start(TrainConfig config, string? output, RankGroup ranks, ITrainObserver observer) =>
        Trainer.Start(config, output ?? FreeFolder(Path.Combine("runs", config.Model)), ranks, observer);

    /// <summary>The wanted folder, or the first of folder-2, folder-3, ... that does not exist.</summary>
    public static string FreeFolder(string wanted)
    {
        string path = wanted;
        for (int n = 2; Directory.Exists(path); n++)
            path = $"{wanted}-{n}";
        return path;
    }
}
