namespace CudaKernels.Layers;

/// <summary>
/// What the first run of a recomputed segment leaves for the second, beside the segment's input and output: the results of <see cref="StepScope.Once"/> in the
/// order they were made (mean and variance of every batch norm), and which parameters took part.
/// </summary>
/// <param name="outer">The recording scope around the segment; it owns the results.</param>
internal sealed class SegmentMemory(StepScope outer)
{
    private readonly List<Tensor[]> results = [];
    private readonly HashSet<Parameter> parameters = [];
    private int next;

    public IEnumerable<Tensor> Results => results.SelectMany(r => r);

    public IReadOnlyCollection<Parameter> Parameters => parameters;

    /// <summary>In the first run, which does not record, calls <paramref name="make"/>; in the second hands its results out again.</summary>
    public Tensor[] Once(StepScope run, Func<Tensor[]> make)
    {
        if (run.Recording)
            return next < results.Count
                ? [.. results[next++].Select(t => run.Borrow(t.View, t.MadeBy))]
                : throw new TensorException($"Recompute: the segment's second run asks for more than the {results.Count} results that its first has left; "
                    + "a segment must do the same both times");
        var made = make();
        results.Add([.. made.Select(t => outer.Adopt(run.Keep(t), t.MadeBy))]);
        return made;
    }

    /// <summary>Told of every operation that the first run does not record.</summary>
    public void Passed(Node node) => parameters.UnionWith(node.Parameters);
}
