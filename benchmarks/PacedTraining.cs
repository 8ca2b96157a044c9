using System.Diagnostics;
using CudaKernels.Comm;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Benchmarks;

/// <summary>A training run on ranks of one thread each that does one step when it is told to and waits in between.</summary>
internal sealed class PacedTraining : ITrainObserver, IDisposable
{
    private readonly SemaphoreSlim allowed = new(0), stepped = new(0);
    private readonly CancellationTokenSource stop = new();
    private readonly Thread thread;
    private Exception? failure;
    private long begun, ended;

    /// <param name="folder">Of the run; new.</param>
    /// <param name="ranks">How many.</param>
    /// <param name="config">What it trains, on more pictures than there will be steps.</param>
    public PacedTraining(string folder, int ranks, TrainConfig config) => thread = new Thread(() => Work(folder, ranks, config)) { IsBackground = true, Name = "paced training" };

    /// <summary>Seconds of the next step, with all that lies between it and the one before.</summary>
    public double Step()
    {
        Begin();
        return End();
    }

    /// <summary>Lets the next step begin.</summary>
    public void Begin()
    {
        begun = Stopwatch.GetTimestamp();
        if (thread.ThreadState.HasFlag(System.Threading.ThreadState.Unstarted))
            thread.Start();
        else
            allowed.Release();
    }

    /// <summary>Waits for the step's end.</summary>
    /// <returns>The seconds it took.</returns>
    public double End()
    {
        stepped.Wait();
        return failure is null ? Stopwatch.GetElapsedTime(begun, ended).TotalSeconds : throw new InvalidOperationException("the run has failed", failure);
    }

    public void Note(string sentence)
    {
    }

    public void Stepped(StepReport report)
    {
        ended = Stopwatch.GetTimestamp();
        stepped.Release();
        allowed.Wait();
    }

    public void Evaluating(int done, int total)
    {
    }

    public void Evaluated(EvaluationReport report)
    {
    }

    public void Dispose()
    {
        stop.Cancel();
        allowed.Release();
        if (!thread.ThreadState.HasFlag(System.Threading.ThreadState.Unstarted))
            thread.Join();
        stop.Dispose();
        allowed.Dispose();
        stepped.Dispose();
    }

    private void Work(string folder, int ranks, TrainConfig config)
    {
        Device[] devices = [.. Enumerable.Range(0, ranks).Select(_ => new CpuDevice(1))];
        try
        {
            if (ranks == 1)
                Train(new SingleRank(devices[0]));
            else
                InProcessRanks.Run(devices, Train);
        }
        catch (Exception e)
        {
            failure = e;
            stepped.Release();
        }
        finally
        {
            foreach (var device in devices)
                device.Dispose();
        }

        void Train(ICollective group)
        {
            using var trainer = Trainer.Start(config, folder, new RankGroup(group, devices[group.Rank]), group.Rank == 0 ? this : new SilentObserver());
            trainer.Run(stop.Token);
        }
    }
}
