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
    /// <param name="device">"cpu", "cuda:N", "opencl:N" or "ilgpu-cpu"; "auto" is the fastest that works.</param>
    /// <param name="threads">Threads that compute on "cpu"; 0 means all cores. Results do not depend on it.</param>
    /// <exception cref="DataException">The data, the folder or a setting is not usable; the message says which and why.</exception>
    /// <exception cref="ArgumentException">Not the name of a device, or a negative number of threads.</exception>
    /// <exception cref="Kernels.KernelException">This machine has no such device; the message says what it has or what is missing.</exception>
    public static Training Start(string data, string folder, IEnumerable<string> settings, string device = "auto", int threads = 0) => Open(device, threads, (opened, observer) =>
        Trainer.Start(ConfigKeys.Build([new("data", data, "data"), .. settings.Select(ConfigKeys.Parse)]), folder, opened, observer));

    /// <summary>Goes on with a run from its last checkpoint.</summary>
    /// <param name="folder">Folder of the run.</param>
    /// <param name="settings">Keys to change, as "key=value".</param>
    /// <param name="device">As for <see cref="Start"/>; may be another one than before.</param>
    /// <param name="threads">As for <see cref="Start"/>.</param>
    /// <exception cref="DataException">The folder holds no run, or its checkpoint does not fit.</exception>
    /// <exception cref="ArgumentException">Not the name of a device, or a negative number of threads.</exception>
    /// <exception cref="Kernels.KernelException">This machine has no such device.</exception>
    public static Training Resume(string folder, IEnumerable<string> settings, string device = "auto", int threads = 0) =>
        Open(device, threads, (opened, observer) => Trainer.Resume(folder, [.. settings.Select(ConfigKeys.Parse)], opened, observer));

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

    private static Training Open(string name, int threads, Func<Device, ITrainObserver, Trainer> make)
    {
        var device = DeviceName.Open("Training", name, threads);
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

    private sealed class Observer : SilentObserver
    {
        public double Ap { get; private set; } = double.NaN;

        public override void Evaluated(EvaluationReport report) => Ap = report.Result["AP"];
    }
}
