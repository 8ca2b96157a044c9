using CudaKernels.Comm;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Tests;

/// <summary>Training on threads of this process, one rank each, and what came of it.</summary>
internal sealed class RankRun
{
    private RankRun(string folder, Observer observer, IReadOnlyList<TrainOutcome> outcomes)
    {
        Outcomes = outcomes;
        Notes = observer.Notes;
        Steps = observer.Steps;
        if (File.Exists(Path.Combine(folder, "last.safetensors")))
            Tensors = SafeTensorsFile.Read(Path.Combine(folder, "last.safetensors")).Tensors.ToDictionary(t => t.Name, t => t.ToFloats());
    }

    /// <summary>By rank.</summary>
    public IReadOnlyList<TrainOutcome> Outcomes { get; }

    public IReadOnlyList<string> Notes { get; }

    public IReadOnlyList<StepReport> Steps { get; }

    /// <summary>What the last checkpoint holds.</summary>
    public IReadOnlyDictionary<string, float[]> Tensors { get; } = new Dictionary<string, float[]>();

    /// <param name="ranks">How many.</param>
    /// <param name="config">May differ from rank to rank.</param>
    /// <param name="folder">Of the run.</param>
    /// <param name="lengths">Of the ranks' shares of a batch.</param>
    /// <param name="prepared">Called on every rank before its first step.</param>
    /// <param name="stop">Asks a rank to end.</param>
    public static RankRun Start(int ranks, Func<int, TrainConfig> config, string folder, int[]? lengths = null, Action<int, Trainer>? prepared = null,
        Func<int, CancellationToken>? stop = null) =>
        Run(ranks, folder, (group, observer) => Trainer.Start(config(group.Rank), folder, group, observer), lengths, prepared, stop);

    /// <summary>Goes on with the run in the folder, with changed settings.</summary>
    public static RankRun Resume(int ranks, string folder, params string[] changes) =>
        Run(ranks, folder, (group, observer) => Trainer.Resume(folder, [.. changes.Select(ConfigKeys.Parse)], group, observer));

    private static RankRun Run(int ranks, string folder, Func<RankGroup, ITrainObserver, Trainer> make, int[]? lengths = null, Action<int, Trainer>? prepared = null,
        Func<int, CancellationToken>? stop = null)
    {
        Device[] devices = [.. Enumerable.Range(0, ranks).Select(_ => new CpuDevice(1))];
        var outcomes = new TrainOutcome[ranks];
        var observers = devices.Select(_ => new Observer()).ToArray();
        try
        {
            InProcessRanks.Run(devices, group =>
            {
                var rank = new RankGroup(group, devices[group.Rank]) { Lengths = lengths };
                using var trainer = make(rank, observers[group.Rank]);
                prepared?.Invoke(group.Rank, trainer);
                outcomes[group.Rank] = trainer.Run(stop?.Invoke(group.Rank) ?? default);
            });
        }
        finally
        {
            foreach (var device in devices)
                device.Dispose();
        }
        return new(folder, observers[0], outcomes);
    }

    /// <summary>‖a − b‖ / ‖b‖ over all tensors whose name the filter takes, summed in double.</summary>
    public double Distance(RankRun other, Func<string, bool> filter)
    {
        double difference = 0, norm = 0;
        foreach (string name in other.Tensors.Keys.Where(filter))
            foreach (var (a, b) in Tensors[name].Zip(other.Tensors[name]))
                (difference, norm) = (difference + Math.Pow((double)a - b, 2), norm + (double)b * b);
        return Math.Sqrt(difference / norm);
    }

    private sealed class Observer : ITrainObserver
    {
        public List<string> Notes { get; } = [];

        public List<StepReport> Steps { get; } = [];

        public void Note(string sentence) => Notes.Add(sentence);

        public void Stepped(StepReport report) => Steps.Add(report);

        public void Evaluating(int done, int total)
        {
        }

        public void Evaluated(EvaluationReport report)
        {
        }
    }
}
