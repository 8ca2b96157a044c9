using System.Text.Json;

namespace CudaKernels.Detection;

/// <summary>What `data check` found in one split.</summary>
/// <param name="Split">Name of the split.</param>
/// <param name="Images">Pictures that could be used.</param>
/// <param name="Objects">Objects that could be used, crowds included.</param>
internal sealed record CheckedSplit(string Split, int Images, int Objects);

/// <summary>Reads a whole data set, every picture included, and lists all that is wrong with it instead of stopping at the first problem.</summary>
internal sealed class DatasetCheck
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private DatasetCheck(IReadOnlyList<CheckedSplit> splits, IReadOnlyList<DataProblem> problems)
    {
        Splits = splits;
        Problems = problems;
    }

    /// <summary>The splits in the order train, val, test.</summary>
    public IReadOnlyList<CheckedSplit> Splits { get; }

    /// <summary>Everything found, fatal problems and blemishes, in the order of the files.</summary>
    public IReadOnlyList<DataProblem> Problems { get; }

    /// <summary>Problems that forbid training; `data check` then ends with exit code 1.</summary>
    public int FatalCount => Problems.Count(problem => problem.Fatal);

    /// <summary>Problems that training can live with.</summary>
    public int BlemishCount => Problems.Count - FatalCount;

    /// <summary>Checks all splits.</summary>
    /// <param name="data">As for <see cref="DatasetSource.Open"/>.</param>
    /// <param name="threads">Threads that decode pictures; the result does not depend on it.</param>
    /// <param name="progress">Called now and then with the number of pictures decoded and the number in this split; from any thread.</param>
    /// <exception cref="DataException">The path is no data set at all.</exception>
    public static DatasetCheck Run(string data, int threads = 1, Action<int, int>? progress = null)
    {
        var log = new ProblemLog(collect: true);
        var splits = new List<CheckedSplit>();
        var home = new Dictionary<string, string>();
        IDataset? first = null;
        var names = DatasetSource.Splits(data);
        foreach (var split in names)
        {
            if (split == "trainval" && names.Contains("train")) continue; // only repeats the others
            try
            {
                var dataset = DatasetSource.Open(data, split, log);
                CheckPictures(dataset, log, threads, progress);
                CheckContents(dataset, split, home, log);
                splits.Add(new CheckedSplit(split, dataset.Count, Enumerable.Range(0, dataset.Count).Sum(i => dataset.Read(i).Objects.Count)));
                DatasetSource.RequireSameClasses(first ??= dataset, dataset);
            }
            catch (DataException error)
            {
                log.Fatal(data, split, error.Message);
            }
        }

        return new DatasetCheck(splits, log.Problems);
    }

    /// <summary>{"fatal", "blemishes", "splits": [...], "problems": [...]}.</summary>
    public string ToJson() => JsonSerializer.Serialize(new { Fatal = FatalCount, Blemishes = BlemishCount, Splits, Problems }, Json);

    private static void CheckPictures(IDataset dataset, ProblemLog log, int threads, Action<int, int>? progress)
    {
        var messages = new string?[dataset.Count];
        var done = 0;
        ParallelWork.For(dataset.Count, threads, i =>
        {
            var sample = dataset.Read(i);
            try
            {
                sample.LoadPicture();
            }
            catch (DataException error)
            {
                messages[i] = error.Message[(sample.ImagePath.Length + 2)..];
            }

            progress?.Invoke(Interlocked.Increment(ref done), dataset.Count);
        });
        for (var i = 0; i < messages.Length; i++)
            if (messages[i] is { } message) log.Fatal(dataset.Read(i).ImagePath, "", message);
    }

    private static void CheckContents(IDataset dataset, string split, Dictionary<string, string> home, ProblemLog log)
    {
        var counts = new int[dataset.Classes.Count];
        for (var i = 0; i < dataset.Count; i++)
        {
            var sample = dataset.Read(i);
            if (sample.Objects.Count == 0) log.Blemish(sample.ImagePath, "", "the picture has no objects; training leaves it out");
            if (!home.TryAdd(sample.ImagePath, split))
                log.Blemish(sample.ImagePath, "", $"the picture is in the split {split} and in {home[sample.ImagePath]}");
            var seen = new HashSet<(int, Box)>();
            foreach (var found in sample.Objects)
            {
                counts[found.Class]++;
                if (!seen.Add((found.Class, found.Box))) log.Blemish(sample.ImagePath, "", $"two objects {dataset.Classes[found.Class]} have the same box {found.Box}");
            }
        }

        for (var i = 0; i < counts.Length; i++)
            if (counts[i] == 0) log.Blemish(dataset.Name, "", $"the class {dataset.Classes[i]} has no object");
    }
}
