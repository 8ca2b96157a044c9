namespace CudaKernels.Detection;

/// <summary>What becomes of a run whose loss, gradient or weights are not finite. All ranks decide the same from the same numbers.</summary>
internal sealed class AnomalyPolicy(NonFinitePolicy policy, TrainState state, Checkpoints checkpoints, string folder, ITrainObserver observer)
{
    private int inARow;

    public void NoneNow() => inARow = 0;

    /// <param name="anomaly">Of the step just done.</param>
    /// <param name="applied">The step has changed the weights, so it can no longer be left out.</param>
    /// <exception cref="TrainingException">The run ends here.</exception>
    public void Handle(Anomaly anomaly, bool applied)
    {
        inARow++;
        bool rollsBack = policy == NonFinitePolicy.Rollback && checkpoints.SavedStep is not null;
        if (policy == NonFinitePolicy.Stop || (applied && !rollsBack))
            throw new TrainingException($"{anomaly}. Lower lr, lengthen warmup_steps, or set non_finite=skip; the last checkpoint in {folder} is whole");
        if (inARow >= Anomaly.Limit)
            throw new TrainingException($"{anomaly}; {inARow} in a row. Lower lr; the last checkpoint in {folder} is whole");
        if (rollsBack)
        {
            long step = state.Step;
            checkpoints.Restore();
            state.Step = step;
            observer.Note($"{anomaly}; weights of the last checkpoint are back");
        }
        else
            observer.Note($"{anomaly}; the step was left out");
    }
}
