using System.Diagnostics;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>Evaluates the weights to use on the validation pictures, all ranks together; the first one keeps the best, writes curves and tells the observer.</summary>
internal sealed class Evaluation(TrainConfig config, DetectionModel model, ParameterSet parameters, IDataset pictures, RankGroup ranks, TrainState state,
    Checkpoints checkpoints, RunFolder folder, RunCurves curves, ITrainObserver observer)
{
    /// <param name="epoch">Counted from 0.</param>
    /// <param name="isLast">The run's last one is drawn.</param>
    /// <param name="stop">Of any rank.</param>
    /// <returns>False when asked to stop on the way: half an evaluation counts for nothing.</returns>
    public bool Run(int epoch, bool isLast, CancellationToken stop)
    {
        long start = Stopwatch.GetTimestamp();
        bool done = false;
        state.WithFinalWeights(() =>
        {
            ranks.Group.Broadcast(parameters.Buffers, root: 0); // the statistics that the checkpoint holds, wherever those of the ranks differ
            EvaluatedSet found;
            using (ranks.Device.HostWork("evaluation: pictures and boxes"))
                found = Evaluator.Run(model, config.Imgsz, ranks, pictures, config.Workers, observer.Evaluating, stop);
            if (ranks.Any(stop.IsCancellationRequested))
                return;
            done = true;
            state.EvaluatedStep = state.Step;
            if (ranks.IsFirst)
                Keep(found, epoch, isLast, start);
        });
        return done;
    }

    private void Keep(EvaluatedSet found, int epoch, bool isLast, long start)
    {
        CocoResult result;
        using (ranks.Device.HostWork("evaluation: metric"))
            result = CocoMetric.Evaluate(found.Truth, found.Detections);
        bool best = result["AP"] > state.BestAp || state.BestAp < 0; // where nothing can be measured the newest is the best
        if (best)
        {
            state.BestAp = result["AP"];
            checkpoints.SaveBest();
        }
        using (ranks.Device.HostWork("evaluation: curves and pictures"))
        {
            curves.Evaluation(epoch, state.Step, result);
            if (isLast)
                EvaluationPictures.Write(folder.Path, found.Truth, found.Detections, result);
        }
        observer.Evaluated(new EvaluationReport(epoch, state.Step, result, best, Stopwatch.GetElapsedTime(start)));
    }
}
