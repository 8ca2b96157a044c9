using System.Diagnostics;
using CudaKernels.Comm;
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
/// Trains a detector, on one device or as one of several ranks that do the same at the same time. <see cref="Run"/> is the whole order of
/// things: batch, loss, gradients, update, and at the end of an epoch evaluation and checkpoint. Whatever decides how it goes on is known
/// to all ranks; the first one alone writes files. Observers watch and change nothing.
/// </summary>
internal sealed class Trainer : IDisposable
{
    private readonly TrainConfig config;
    private readonly RunFolder folder;
    private readonly RankGroup ranks;
    private readonly Device device;
    private readonly ITrainObserver observer;
    private readonly IDataset training;
    private readonly BatchLoader loader;
    private readonly DetectionModel model;
    private readonly ParameterSet parameters;
    private readonly Optimizer optimizer;
    private readonly Ema? average;
    private readonly Schedule schedule;
    private readonly TrainState state;
    private readonly Checkpoints checkpoints;
    private readonly RunCurves curves;
    private readonly Evaluation evaluation;
    private readonly AnomalyPolicy anomalies;
    private readonly int ranksPerNorm;
    private BatchGradient? gradient;
    private SyncBatchNorm? norms;
    private bool computing; // a gradient: the running statistics are ahead of the weights

    /// <summary>A new run on one device, in a folder that holds none.</summary>
    public static Trainer Start(TrainConfig config, string path, Device device, ITrainObserver observer) =>
        Start(config, path, RankGroup.Alone(device), observer);

    /// <summary>A new run. Every rank calls it, with the same configuration.</summary>
    public static Trainer Start(TrainConfig config, string path, RankGroup ranks, ITrainObserver observer) => Open(
        ranks,
        () => new Trainer(config, ranks.IsFirst ? RunFolder.New(path, config.Data) : RunFolder.At(path), ranks, observer),
        // Written last: a setting that does not fit the data must not leave half a run behind.
        trainer => ranks.Together(() => ranks.OnFirst(() => trainer.folder.Create(Effective(config)), "run folder")));

    /// <summary>Goes on with a run from its last checkpoint; <paramref name="changes"/> override its configuration.</summary>
    public static Trainer Resume(string path, IReadOnlyList<Setting> changes, Device device, ITrainObserver observer) =>
        Resume(path, changes, RankGroup.Alone(device), observer);

    /// <summary>The same on every rank. All read the configuration in the run's folder; the checkpoint is read by the first.</summary>
    public static Trainer Resume(string path, IReadOnlyList<Setting> changes, RankGroup ranks, ITrainObserver observer) => Open(
        ranks,
        () =>
        {
            var folder = RunFolder.Open(path);
            return new Trainer(ConfigKeys.Build([.. ConfigKeys.ReadFile(folder.Config), .. changes]), folder, ranks, observer);
        },
        trainer => trainer.GoOn(changes));

    private static Trainer Open(RankGroup ranks, Func<Trainer> make, Action<Trainer> begin)
    {
        var trainer = ranks.Together(make);
        try
        {
            trainer.Join();
            begin(trainer);
            trainer.state.TakeFromFirst(ranks);
            return trainer;
        }
        catch (Exception e)
        {
            ranks.Group.Fail(e); // before the trainer leaves its groups: the others shall hear the reason
            trainer.Dispose();
            throw;
        }
    }

    private Trainer(TrainConfig config, RunFolder folder, RankGroup ranks, ITrainObserver observer)
    {
        (this.config, this.folder, this.ranks, this.observer) = (config, folder, ranks, observer);
        device = ranks.Device;
        (training, var validation) = OpenData(config);
        model = ModelCatalog.Create(config.Model, training.Classes, config.Alpha);
        model.Info.CheckImageSize(config.Imgsz);
        ranksPerNorm = BatchShares.RanksPerNorm(config, ranks.Size);
        loader = new BatchLoader(training, new BatchLoaderOptions
        {
            BatchSize = config.Batch,
            ImageSize = config.Imgsz,
            Augment = config.Augment,
            Seed = config.Seed,
            Workers = config.Workers,
            Share = ranks.ShareOf(config.Batch),
        });
        (schedule, string rate) = RatePlan.Of(config, model.Info.PublishedRate, loader.StepsPerEpoch);
        parameters = new ParameterSet(model, device, config.Seed, GroupRules.Ttfnet);
        optimizer = config.Optimizer == OptimizerKind.Sgd
            ? new Sgd(parameters, config.Momentum, config.WeightDecay, clipNorm: config.ClipNorm)
            : new AdamW(parameters, weightDecay: config.WeightDecay, clipNorm: config.ClipNorm);
        average = config.Ema > 0 ? new Ema(parameters, config.Ema) : null;
        state = new TrainState(parameters, optimizer, average);
        checkpoints = new Checkpoints(folder, model.Info, parameters, state, ranks, config.Imgsz);
        curves = new RunCurves(folder);
        evaluation = new Evaluation(config, model, parameters, validation, ranks, state, checkpoints, folder, curves, observer);
        anomalies = new AnomalyPolicy(config.NonFinite, state, checkpoints, folder.Path, observer);
        observer.Note(FormattableString.Invariant(
            $"{config.Model}: {parameters.Count:N0} parameters, {loader.PictureCount} pictures of {training.Classes.Count} classes, {loader.StepsPerEpoch} steps an epoch, {config.Epochs} epochs"));
        observer.Note(rate);
        observer.Note(RecomputeChoice.Apply(model, config, ranks));
        if (ranks.Size > 1 || config.Accumulate > 1)
            observer.Note(BatchShares.Describe(config, ranks));
    }

    /// <summary>Makes the ranks one run: they agree on what they train, and share what has to be common.</summary>
    private void Join()
    {
        RankAgreement.Check(ranks, config, training);
        norms = SyncBatchNorm.Attach(model, ranks.Group, ranksPerNorm);
        gradient = new BatchGradient(model, parameters, ranks, config.Imgsz, config.Accumulate);
    }

    private void GoOn(IReadOnlyList<Setting> changes)
    {
        bool hasCheckpoint = ranks.Any(ranks.IsFirst && folder.HasCheckpoint);
        if (hasCheckpoint)
            checkpoints.Restore();
        observer.Note((hasCheckpoint ? $"resumed {folder.Path}" : $"{folder.Path} has no checkpoint yet: begins again") + $" at step {state.Step} of {TotalSteps}"
            + (changes.Count > 0 ? "; changed " + string.Join(", ", changes.Select(c => $"{c.Key}={c.Value}")) : "")
            + (state.Step >= TotalSteps ? "; it is complete, more epochs would go on with it" : ""));
        if (hasCheckpoint && state.Ranks != ranks.Size)
            observer.Note(BatchShares.DescribeChange(config, state.Ranks, ranks));
        ranks.Together(() => ranks.OnFirst(() =>
        {
            folder.TruncateLog(state.Step, state.EvaluatedStep);
            curves.Reload();
            AtomicFile.WriteText(folder.Config, Effective(config));
        }, "run folder"));
    }

    public RunFolder Folder => folder;

    public ParameterSet Parameters => parameters;

    /// <summary>What went between the ranks so far, by purpose.</summary>
    public IReadOnlyList<(string Purpose, CollectiveTraffic Traffic)> Traffic =>
        [("gradients", gradient!.Traffic), ("batch norm", norms!.Traffic), ("losses, agreement", ranks.Group.Traffic)];

    /// <summary>Steps since this trainer was made.</summary>
    public long StepsDone { get; private set; }

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
        catch (Exception e)
        {
            try
            {
                if (e is DataException or CollectiveException or IOException or UnauthorizedAccessException && state.Step > (checkpoints.SavedStep ?? 0))
                    Rescue();
            }
            finally
            {
                ranks.Group.Fail(e);
            }
            throw;
        }
    }

    private void Rescue()
    {
        if (computing)
            parameters.RestoreBuffers();
        checkpoints.Save();
        observer.Note($"saved at step {state.Step}; once the fault is mended go on with --resume {folder.Path}");
    }

    private TrainOutcome RunEpochs(CancellationToken stop)
    {
        bool complete = true;
        if (EvaluationIsDue) // the run was stopped before it; made up for, so that the run ends like one that was not
        {
            complete = Evaluate(stop);
            checkpoints.Save();
        }
        while (complete && state.Step < TotalSteps)
        {
            int epoch = (int)(state.Step / loader.StepsPerEpoch);
            foreach (var batch in Batches(epoch))
            {
                using (batch)
                {
                    if (state.Step >= TotalSteps || ranks.Any(stop.IsCancellationRequested))
                        break;
                    if (state.Step == 0)
                        ranks.Together(() => ranks.OnFirst(() => BatchPicture.Write(folder.FirstBatch, batch, model.Info.Classes), "picture of the first batch"));
                    Step(epoch, batch);
                }
            }
            complete = !ranks.Any(stop.IsCancellationRequested) && (!EvaluationIsDue || Evaluate(stop));
            checkpoints.Save();
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
            if (!ranks.Together(() => Next(batches)))
                yield break;
            yield return batches.Current;
        }
    }

    private bool Next(IEnumerator<Batch> batches)
    {
        using var work = device.HostWork("waiting for pictures");
        return batches.MoveNext();
    }

    public void Dispose()
    {
        gradient?.Dispose();
        norms?.Dispose();
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
        computing = true;
        var losses = gradient!.Compute(batch);
        computing = false;
        string? broken = null;
        bool applied = false;
        if (losses.Broken is { } part)
        {
            broken = $"loss part {part}";
            parameters.RestoreBuffers();
        }
        else
        {
            optimizer.Step(rate);
            applied = optimizer.LastFinite;
        }
        state.Step++;
        StepsDone++;
        if (applied && ranks.Any(!parameters.AreFinite()))
            broken = "a weight after the update";
        else if (applied)
            average?.Update();
        else
            broken ??= "the gradient";
        if (broken is not null)
            anomalies.Handle(new Anomaly(state.Step, broken, PicturesOf(batch, losses.BrokenRank), losses.BrokenRank), applied);
        else
            anomalies.NoneNow();
        Report(epoch, rate, losses.Whole, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    /// <summary>Paths of the pictures that a rank, or all of them, had in this step.</summary>
    private string[] PicturesOf(Batch batch, int? rank)
    {
        string[] paths = ranks.Gather(string.Join('\n', batch.Samples.Select(s => s.ImagePath)));
        return [.. (rank is { } one ? [paths[one]] : paths).SelectMany(p => p.Split('\n'))];
    }

    private void Report(int epoch, float rate, IReadOnlyList<(string Name, float Value)> losses, double seconds) => ranks.OnFirst(() =>
    {
        curves.Step(epoch, state.Step, rate, losses, optimizer.LastNorm);
        observer.Stepped(new StepReport(epoch, state.Step, TotalSteps, rate, optimizer.LastNorm, losses, config.Batch / seconds,
            TimeSpan.FromSeconds(seconds * (TotalSteps - state.Step))));
    }, "log and progress");

    private bool EvaluationIsDue => state.Step > state.EvaluatedStep
        && (state.Step >= TotalSteps || state.Step % ((long)loader.StepsPerEpoch * config.EvalInterval) == 0);

    private bool Evaluate(CancellationToken stop) => evaluation.Run((int)((state.Step - 1) / loader.StepsPerEpoch), isLast: state.Step >= TotalSteps, stop);
}
