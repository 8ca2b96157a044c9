namespace CudaKernels.Detection;

/// <summary>What one step did. Loss parts are named by the model.</summary>
internal sealed record StepReport(
    int Epoch, long Step, long TotalSteps, float Rate, float GradientNorm, IReadOnlyList<(string Name, float Value)> Losses,
    double ImagesPerSecond, TimeSpan Remaining)
{
    public float Loss => Losses.Sum(l => l.Value);
}

/// <summary>What an evaluation of the validation pictures found.</summary>
internal sealed record EvaluationReport(int Epoch, long Step, CocoResult Result, bool IsBest, TimeSpan Took);

/// <summary>Watches a run; may read, never change, its state.</summary>
internal interface ITrainObserver
{
    /// <summary>A sentence for the user: what is resumed, scaled, skipped.</summary>
    void Note(string sentence);

    void Stepped(StepReport report);

    /// <summary>An evaluation has come so far.</summary>
    void Evaluating(int done, int total);

    void Evaluated(EvaluationReport report);
}

/// <summary>Says nothing: for ranks but the first, and as a start for those who want to know one thing.</summary>
internal class SilentObserver : ITrainObserver
{
    public void Note(string sentence)
    {
    }

    public void Stepped(StepReport report)
    {
    }

    public void Evaluating(int done, int total)
    {
    }

    public virtual void Evaluated(EvaluationReport report)
    {
    }
}
