using System.Globalization;
using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// Everything a run needs to go on exactly where it stopped: weights, buffers, optimiser state, averages and the position.
/// Batches and random draws follow from the position alone. In a checkpoint the model's own names hold the weights to use (the
/// averages, where there are any); "state.train." holds the weights under training beside averages, "state.optimizer." the
/// optimiser's state.
/// </summary>
internal sealed class TrainState(ParameterSet parameters, Optimizer optimizer, Ema? average)
{
    private const string TrainPrefix = ModelFile.StatePrefix + "train.", OptimizerPrefix = ModelFile.StatePrefix + "optimizer.";

    /// <summary>Steps done, skipped ones included.</summary>
    public long Step { get; set; }

    public double BestAp { get; set; } = -1;

    /// <summary>Step of the last evaluation that came to its end; 0 when there was none.</summary>
    public long EvaluatedStep { get; set; }

    /// <summary>How many ranks wrote the checkpoint that was restored.</summary>
    public int Ranks { get; private set; } = 1;

    /// <summary>What only training needs, beside the model's own tensors. While the averages are swapped in, so are the names.</summary>
    public IEnumerable<(string Name, int[] Shape, ReadOnlyMemory<float> Values)> Tensors() =>
        Extras(average?.State ?? []).Select(e => (e.Name, e.View.Shape.ToArray(), Read(e.View)));

    /// <summary>Runs an action while the model holds the weights to use: the averages, where there are any.</summary>
    public void WithFinalWeights(Action action)
    {
        average?.Swap();
        try
        {
            action();
        }
        finally
        {
            average?.Swap();
        }
    }

    /// <summary>Gives every rank what the first one has.</summary>
    public void TakeFromFirst(RankGroup ranks)
    {
        TensorView[] blocks = [parameters.Values, parameters.Buffers, .. optimizer.Blocks, .. average?.Blocks ?? []];
        foreach (var block in blocks)
            ranks.Group.Broadcast(block, root: 0);
        string words = ranks.Gather(string.Join('\n', Metadata(Ranks).Select(m => $"{m.Key}={m.Value}")))[0];
        Restore("rank 0", words.Split('\n').Select(line => line.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]));
    }

    /// <param name="ranks">How many have trained it.</param>
    public Dictionary<string, string> Metadata(int ranks) => new()
    {
        ["world_size"] = Text(ranks),
        ["step"] = Text(Step),
        ["optimizer_steps"] = Text(optimizer.Steps),
        ["average_updates"] = Text(average?.Updates ?? 0),
        ["best_ap"] = BestAp.ToString("R", CultureInfo.InvariantCulture),
        ["evaluated_step"] = Text(EvaluatedStep),
    };

    /// <summary>Takes back what a checkpoint holds.</summary>
    /// <exception cref="DataException">The file holds no training state, that of other settings, or numbers that are not finite.</exception>
    public void Restore(string path, SafeTensorsFile file)
    {
        if (file.FirstNonFinite() is { } broken)
            throw new DataException($"{path}: tensor {broken.Name} holds NaN or infinity; the file is damaged, start the run again");
        foreach (var (name, view) in average?.State ?? Weights)
            Load(path, file, name, view);
        foreach (var (name, view) in Extras(average is null ? [] : Weights))
            Load(path, file, name, view);
        Restore(path, file.Metadata);
    }

    private void Restore(string path, IReadOnlyDictionary<string, string> metadata)
    {
        Ranks = metadata.ContainsKey("world_size") ? Number<int>(path, metadata, "world_size") : 1; // older files have none
        Step = Number<long>(path, metadata, "step");
        optimizer.Steps = Number<long>(path, metadata, "optimizer_steps");
        average?.Updates = Number<long>(path, metadata, "average_updates");
        BestAp = Number<double>(path, metadata, "best_ap");
        EvaluatedStep = Number<long>(path, metadata, "evaluated_step");
    }

    private IEnumerable<(string Name, TensorView View)> Weights =>
        parameters.SlicesOf(parameters.Values).Concat(parameters.BufferSlicesOf(parameters.Buffers));

    /// <param name="underTraining">Where the weights under training lie, if they are not the model's own tensors.</param>
    private IEnumerable<(string Name, TensorView View)> Extras(IEnumerable<(string Name, TensorView View)> underTraining) =>
        optimizer.State.Select(s => (OptimizerPrefix + s.Name, s.View)).Concat(underTraining.Select(s => (TrainPrefix + s.Name, s.View)));

    private static ReadOnlyMemory<float> Read(TensorView view)
    {
        var values = new float[view.Length];
        view.Buffer.Device.Download<float>(view, values);
        return values;
    }

    private void Load(string path, SafeTensorsFile file, string name, TensorView view)
    {
        if (!file.TryGet(name, out var tensor))
            throw new DataException($"{path}: tensor {name} is missing; resume with the model, optimizer and ema settings of the run that wrote it");
        if (!tensor.Shape.SequenceEqual(view.Shape.ToArray()))
            throw new DataException($"{path}: tensor {name} expects {view.Shape} but is [{string.Join(',', tensor.Shape)}]");
        parameters.Device.Upload<float>(tensor.ToFloats(), view);
    }

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static T Number<T>(string path, IReadOnlyDictionary<string, string> metadata, string key) where T : IParsable<T> =>
        metadata.TryGetValue(key, out string? text) && T.TryParse(text, CultureInfo.InvariantCulture, out var value) ? value
            : throw new DataException($"{path}: metadata {key} is missing or not a number; the file holds no training state");
}
