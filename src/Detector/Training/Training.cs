using CudaKernels.Kernels.Devices;

namespace CudaKernels.Detection;

/// <summary>Trains a detector from code: the same run as the command line's `train`, without its words.</summary>
public sealed class Training : IDisposable
{
    private readonly Device device;
    private readonly Trainer trainer;
    private readonly Observer observer;

    private Training(Device device, Trainer trainer, Observer observer) =>
        (this.device, this.trainer, this.observer) = (device, trainer, observer);

    /// <summary>The weights with the best validation AP so far.</summary>
    public string BestWeights => trainer.Folder.Best;

    /// <summary>Prepares a run.</summary>
    /// <param name="data">VOC folder, YOLO data.yaml, or a YAML that names COCO JSON files.</param>
    /// <param name="folder">Folder of the run; must not hold one.</param>
    /// <param name="settings">Any of the configuration's keys as "key=value", for example "model=ttfnet-18" or "epochs=24".</param>
    /// <exception cref="DataException">The data, the folder or a setting is not usable; the message says which and why.</exception>
    public static Training Start(string data, string folder, params string[] settings) =>
        Open((device, observer) => Trainer.Start(ConfigKeys.Build([new("data", data, "data"), .. settings.Select(ConfigKeys.Parse)]), folder, device, observer));

    /// <summary>Goes on with a run from its last checkpoint.</summary>
    /// <param name="folder">Folder of the run.</param>
    /// <param name="settings">Keys to change.</param>
    /// <exception cref="DataException">The folder holds no run, or its checkpoint does not fit.</exception>
    public static Training Resume(string folder, params string[] settings) =>
        Open((device, observer) => Trainer.Resume(folder, [.. settings.Select(ConfigKeys.Parse)], device, observer));

    /// <summary>Trains to the end, or until asked to stop, which writes a checkpoint first.</summary>
    /// <returns>COCO AP of the last evaluation, in [0, 1]; NaN when there was none.</returns>
    /// <exception cref="TrainingException">The run diverged.</exception>
    public double Run(CancellationToken stop = default)
    {
        trainer.Run(stop);
        return observer.Ap;
    }

    /// <summary>Frees the memory of the run.</summary>
    public void Dispose()
    {
        trainer.Dispose();
        device.Dispose();
    }

    private static Training Open(Func<Device, ITrainObserver, Trainer> make)
    {
        var device = new CpuDevice();
        try
        {
            var observer = new Observer();
            return new Training(device, make(device, observer), observer);
        }
        catch
        {
            device.Dispose();
            throw;
        }
    }

    private sealed class Observer : ITrainObserver
    {
        public double Ap { get; private set; } = double.NaN;

        public void Note(string sentence)
        {
        }

        public void Stepped(StepReport report)
        {
        }

        public void Evaluating(int done, int total)
        {
        }

        public void Evaluated(EvaluationReport report) => Ap = report.Result["AP"];
    }
}
