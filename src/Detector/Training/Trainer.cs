using System.Diagnostics;
using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>How a run ended.</summary>
internal enum TrainOutcome
{
    Finished,

    /// <summary>Stopped on request; the checkpoint is written.</summary>
    Interrupted,
}

/// <summary>
/// Trains a detector. <see cref="Run"/> is the whole order of things: batch, loss, gradients, update, and at the end of an epoch
/// evaluation and checkpoint. Observers watch and change nothing.
/// </summary>
internal sealed class Trainer : IDisposable
{
    private readonly TrainConfig config;
    private readonly RunFolder folder;
    private readonly Device device;
    private readonly ICollective group;
    private readonly ITrainObserver observer;
    private readonly IDataset validation;
    private readonly BatchLoader loader;
    private readonly DetectionModel model;
    private readonly ParameterSet parameters;
    private readonly Optimizer optimizer;
    private readonly Ema? average;
    private readonly Schedule schedule;
    private readonly TrainState state;
    private readonly RunCurves curves;
    private int anomaliesInARow;
    private long savedStep;

    /// <summary>A new run in a folder that holds none.</summary>
    public static Trainer Start(TrainConfig config, string path, Device device, ITrainObserver observer)
    {
        var (training, validation) = OpenData(config);
        // Written last: a setting that does not fit the data must not leave half a run behind.
        var trainer = new Trainer(config, RunFolder.New(path, config.Data), device, observer, training, validation);
        try
        {
            trainer.folder.Create(Effective(config));
            return trainer;
        }
        catch
        {
            trainer.Dispose();
            throw;
        }
    }

    /// <summary>Goes on with a run from its last checkpoint; <paramref name="changes"/> override its configuration.</summary>
    public static Trainer Resume(string path, IReadOnlyList<Setting> changes, Device device, ITrainObserver observer)
    {
        var folder = RunFolder.Open(path);
        var config = ConfigKeys.Build([.. ConfigKeys.ReadFile(folder.Config), .. changes]);
        var (training, validation) = OpenData(config);
        var trainer = new Trainer(config, folder, device, observer, training, validation);
        if (folder.HasCheckpoint)
            trainer.Restore();
        folder.TruncateLog(trainer.state.Step, trainer.state.EvaluatedStep);
        trainer.curves.Reload();
        observer.Note((folder.HasCheckpoint ? $"resumed {path}" : $"{path} has no checkpoint yet: begins again") + $" at step {trainer.state.Step} of {trainer.TotalSteps}"
            + (changes.Count > 0 ? "; changed " + string.Join(", ", changes.Select(c => $"{c.Key}={c.Value}")) : "")
            + (trainer.state.Step >= trainer.TotalSteps ? "; it is complete, more epochs would go on with it" : ""));
        AtomicFile.WriteText(folder.Config, Effective(config));
        return trainer;
    }

    private Trainer(TrainConfig config, RunFolder folder, Device device, ITrainObserver observer, IDataset training, IDataset validation)
    {
        (this.config, this.folder, this.device, this.observer, this.validation) = (config, folder, device, observer, validation);
        group = new SingleRank(device);
        model = ModelCatalog.Create(config.Model, training.Classes, config.Alpha);
        model.Info.CheckImageSize(config.Imgsz);
        loader = new BatchLoader(training, new BatchLoaderOptions
        {
            BatchSize = config.Batch,
            ImageSize = config.Imgsz,
            Augment = config.Augment,
            Seed = config.Seed,
            Workers = config.Workers,
            Share = Share.Of(config.Batch, group.Size, group.Rank),
        });
        parameters = new ParameterSet(model, device, config.Seed, GroupRules.Ttfnet);
        optimizer = config.Optimizer == OptimizerKind.Sgd
            ? new Sgd(parameters, config.Momentum, config.WeightDecay, clipNorm: config.ClipNorm)
            : new AdamW(parameters, weightDecay: config.WeightDecay, clipNorm: config.ClipNorm);
        average = config.Ema > 0 ? new Ema(parameters, config.Ema) : null;
        float rate = config.Lr > 0 ? config.Lr : model.Info.PublishedRate.For(config.Batch);
        schedule = new Schedule(rate,
            RateDecay.Steps([.. config.Drops.Select(epoch => (long)epoch * loader.StepsPerEpoch)]),
            Warmup.Linear(config.WarmupSteps, config.WarmupRatio));
        state = new TrainState(parameters, optimizer, average);
        curves = new RunCurves(folder);
        observer.Note(FormattableString.Invariant(
            $"{config.Model}: {parameters.Count:N0} parameters, {loader.PictureCount} pictures of {training.Classes.Count} classes, {loader.StepsPerEpoch} steps an epoch, {config.Epochs} epochs"));
        observer.Note(FormattableString.Invariant(
            $"rate {rate:G4} for batch {config.Batch}") + (config.Lr > 0 ? "" : $" ({model.Info.PublishedRate})"));
    }

    public RunFolder Folder => folder;

    /// <summary>Steps of the whole schedule, or the limit set by max_steps.</summary>
    public long TotalSteps
    {
        get
        {
            long all = (long)config.Epochs * loader.StepsPerEpoch;
            return config.MaxSteps > 0 ? Math.Min(all, config.MaxSteps) : all;
        }
    }

    /// <summary>Trains to the end of the schedule or until asked to stop.</summary>
    /// <exception cref="TrainingException">The run diverged; the last checkpoint is whole.</exception>
    /// <exception cref="DataException">A picture or the run folder failed; what was learnt until then is saved, if the disk allows.</exception>
    public TrainOutcome Run(CancellationToken stop)
    {
        try
        {
            return RunEpochs(stop);
        }
        catch (Exception e) when (e is DataException or IOException or UnauthorizedAccessException && state.Step > savedStep)
        {
            Save();
            observer.Note($"saved at step {state.Step}; once the fault is mended go on with --resume {folder.Path}");
            throw;
        }
    }

    private TrainOutcome RunEpochs(CancellationToken stop)
    {
        bool complete = true;
        if (EvaluationIsDue) // the run was stopped before it; made up for, so that the run ends like one that was not
        {
            complete = Evaluate(stop);
            Save();
        }
        while (complete && state.Step < TotalSteps)
        {
            int epoch = (int)(state.Step / loader.StepsPerEpoch);
            foreach (var batch in Batches(epoch))
            {
                if (stop.IsCancellationRequested || state.Step >= TotalSteps)
                    break;
                using (batch)
                {
                    if (state.Step == 0)
                        using (device.HostWork("picture of the first batch"))
                            BatchPicture.Write(folder.FirstBatch, batch, model.Info.Classes);
                    Step(epoch, batch);
                }
            }
            complete = !stop.IsCancellationRequested && (!EvaluationIsDue || Evaluate(stop));
            Save();
        }
        if (complete)
            return TrainOutcome.Finished;
        observer.Note($"stopped at step {state.Step}; go on with --resume {folder.Path}");
        return TrainOutcome.Interrupted;
    }

    /// <summary>The rest of an epoch. Of the loader's work only what training has to wait for takes time here.</summary>
    private IEnumerable<Batch> Batches(int epoch)
    {
        using var batches = loader.Epoch(epoch, (int)(state.Step % loader.StepsPerEpoch)).GetEnumerator();
        while (true)
        {
            using (device.HostWork("waiting for pictures"))
                if (!batches.MoveNext())
                    yield break;
            yield return batches.Current;
        }
    }

    public void Dispose()
    {
        average?.Dispose();
        optimizer.Dispose();
        parameters.Dispose();
    }

    /// <summary>The configuration as YAML, with the full path of the data: a run is resumed from any working folder.</summary>
    private static string Effective(TrainConfig config) => ConfigKeys.ToYaml(config with { Data = Path.GetFullPath(config.Data) });

    private static (IDataset Training, IDataset Validation) OpenData(TrainConfig config)
    {
        if (config.Data.Length == 0)
            throw new DataException("configuration: data is not set; name a data set with --data");
        var training = DatasetSource.Open(config.Data, "train");
        var validation = DatasetSource.Open(config.Data, "val");
        DatasetSource.RequireSameClasses(training, validation);
        return (training, validation);
    }

    private void Step(int epoch, Batch batch)
    {
        long start = Stopwatch.GetTimestamp();
        float rate = schedule.Rate(state.Step);
        model.Train(true);
        parameters.BeginGradients();
        List<(string Name, float Value)> losses = [];
        string? broken;
        bool applied = false;
        using (var scope = new StepScope(device, record: true))
        {
            var images = ModelInput.Normalize(scope, batch.Pixels.AsSpan(0, batch.Count * config.Imgsz * config.Imgsz * 3), batch.Count, config.Imgsz, config.Imgsz);
            var parts = model.Loss(images, TargetsOf(batch));
            foreach (var (name, value) in parts.Parts)
                losses.Add((name, Read(value)));
            broken = losses.Where(l => !float.IsFinite(l.Value)).Select(l => "loss part " + l.Name).FirstOrDefault();
            if (broken is null)
            {
                scope.Backward(parts.Values);
                parameters.CompleteGradients();
            }
        }
        if (broken is not null)
            parameters.RestoreBuffers();
        else
        {
            group.AllReduce(parameters.Gradients, Reduction.Sum);
            optimizer.Step(rate);
            applied = optimizer.LastFinite;
            if (!applied)
                broken = "the gradient";
            else if (!WeightsAreFinite())
                broken = "a weight after the update";
            else
                average?.Update();
        }
        state.Step++;
        if (broken is not null)
            Handle(new Anomaly(state.Step, broken, [.. batch.Samples.Select(s => s.ImagePath)]), applied);
        else
            anomaliesInARow = 0;
        Report(epoch, rate, losses, batch.Count, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    private static Targets TargetsOf(Batch batch) => new(
        [.. batch.Boxes.Select(boxes => boxes.SelectMany(b => new[] { b.X1, b.Y1, b.X2, b.Y2 }).ToArray())],
        [.. batch.Boxes.Select(boxes => boxes.Select(b => b.Class).ToArray())]);

    private float Read(Tensor scalar)
    {
        Span<float> value = stackalloc float[1];
        device.Download(scalar.View, value);
        return value[0];
    }

    /// <summary>Of the parameters and the running statistics; gradients that are finite can still take them over the edge.</summary>
    private bool WeightsAreFinite()
    {
        using var scope = new StepScope(device, record: false);
        return IsFinite(parameters.Values) && IsFinite(parameters.Buffers);

        bool IsFinite(TensorView block)
        {
            var norm = scope.Rent(new Shape(2), nameof(WeightsAreFinite));
            device.Run(new GradientNorm(block, norm.View));
            Span<float> values = stackalloc float[2];
            device.Download(norm.View, values);
            return values[1] != 0;
        }
    }

    /// <param name="applied">The step has changed the weights, so it can no longer be left out.</param>
    private void Handle(Anomaly anomaly, bool applied)
    {
        anomaliesInARow++;
        bool rollsBack = config.NonFinite == NonFinitePolicy.Rollback && folder.HasCheckpoint;
        if (config.NonFinite == NonFinitePolicy.Stop || (applied && !rollsBack))
            throw new TrainingException($"{anomaly}. Lower lr, lengthen warmup_steps, or set non_finite=skip; the last checkpoint in {folder.Path} is whole");
        if (anomaliesInARow >= Anomaly.Limit)
            throw new TrainingException($"{anomaly}; {anomaliesInARow} in a row. Lower lr; the last checkpoint in {folder.Path} is whole");
        if (rollsBack)
        {
            long step = state.Step;
            Restore();
            state.Step = step;
            observer.Note($"{anomaly}; weights of the last checkpoint are back");
        }
        else
            observer.Note($"{anomaly}; the step was left out");
    }

    private void Report(int epoch, float rate, List<(string Name, float Value)> losses, int images, double seconds)
    {
        using var work = device.HostWork("log and progress");
        curves.Step(epoch, state.Step, rate, losses, optimizer.LastNorm);
        observer.Stepped(new StepReport(epoch, state.Step, TotalSteps, rate, optimizer.LastNorm, losses, images / seconds,
            TimeSpan.FromSeconds(seconds * (TotalSteps - state.Step))));
    }

    private bool EvaluationIsDue => state.Step > state.EvaluatedStep
        && (state.Step >= TotalSteps || state.Step % ((long)loader.StepsPerEpoch * config.EvalInterval) == 0);

    /// <summary>False when asked to stop on the way: half an evaluation counts for nothing.</summary>
    private bool Evaluate(CancellationToken stop)
    {
        int epoch = (int)((state.Step - 1) / loader.StepsPerEpoch);
        long start = Stopwatch.GetTimestamp();
        bool done = false;
        state.WithFinalWeights(() =>
        {
            EvaluatedSet found;
            using (device.HostWork("evaluation: pictures and boxes"))
                found = Evaluator.Run(model, config.Imgsz, device, validation, config.Workers, observer.Evaluating, stop);
            if (stop.IsCancellationRequested)
                return;
            CocoResult result;
            using (device.HostWork("evaluation: metric"))
                result = CocoMetric.Evaluate(found.Truth, found.Detections);
            bool best = result["AP"] > state.BestAp || state.BestAp < 0; // where nothing can be measured the newest is the best
            if (best)
            {
                state.BestAp = result["AP"];
                using (device.HostWork("checkpoints"))
                    ModelFile.Save(folder.Best, model.Info, parameters, config.Imgsz);
            }
            using (device.HostWork("evaluation: curves and pictures"))
            {
                curves.Evaluation(epoch, state.Step, result);
                if (state.Step >= TotalSteps)
                    EvaluationPictures.Write(folder.Path, found.Truth, found.Detections, result);
            }
            state.EvaluatedStep = state.Step;
            observer.Evaluated(new EvaluationReport(epoch, state.Step, result, best, Stopwatch.GetElapsedTime(start)));
            done = true;
        });
        return done;
    }

    private void Save()
    {
        using var work = device.HostWork("checkpoints");
        state.WithFinalWeights(() => ModelFile.Save(folder.Last, model.Info, parameters, config.Imgsz, state.Tensors(), state.Metadata()));
        savedStep = state.Step;
    }

    private void Restore()
    {
        var file = SafeTensorsFile.Read(folder.Last);
        new ModelFile(folder.Last, file).RequireSame(model.Info);
        state.Restore(folder.Last, file);
        savedStep = state.Step;
    }
}
