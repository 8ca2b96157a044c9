using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>Sees every named stage of a forward pass as it is computed.</summary>
internal delegate void StageObserver(string name, Tensor output);

/// <summary>One step of a chain: a layer or block with one input and one output.</summary>
internal delegate Tensor BackboneStep(Tensor x);

/// <summary>A feature extractor with outputs c2..c5 at strides 4, 8, 16 and 32: a chain of steps, the stem's and then those of four stages.</summary>
internal abstract class Backbone : Module
{
    private IReadOnlyList<BackboneStep>? steps;

    /// <summary>Channels of c2..c5.</summary>
    public abstract IReadOnlyList<int> Channels { get; }

    /// <summary>The whole chain.</summary>
    public IReadOnlyList<BackboneStep> Steps => steps ??= [.. Stem, .. Stages.SelectMany(s => s.Steps).Select<UnaryModule, BackboneStep>(m => m.Forward)];

    /// <summary>How many steps lead to the end of the stem and to c2..c5.</summary>
    public IReadOnlyList<int> Ends
    {
        get
        {
            List<int> ends = [Stem.Count];
            foreach (var stage in Stages)
                ends.Add(ends[^1] + stage.Steps.Count);
            return ends;
        }
    }

    /// <summary>
    /// How many steps lead to the end of each segment that is recomputed in the backward pass; what lies behind the last is kept. Outputs end a segment too,
    /// since they are kept anyway.
    /// </summary>
    public IReadOnlyList<int> Segments { get; set; } = [];

    /// <summary>What makes the input of the first stage.</summary>
    protected abstract IReadOnlyList<BackboneStep> Stem { get; }

    /// <summary>The four stages that make c2..c5, each from the one before; the first from the stem.</summary>
    protected abstract IReadOnlyList<Sequential> Stages { get; }

    /// <summary>c2..c5 of images (N,H,W,3), H and W multiples of 32.</summary>
    public Tensor[] Forward(Tensor images, StageObserver? observer = null)
    {
        var x = images;
        var outputs = Ends.Skip(1).ToArray();
        var features = new List<Tensor>();
        int from = 0;
        foreach (int end in Segments.Concat(outputs).Distinct().Order())
        {
            int start = from;
            x = Segments.Count > 0 && end <= Segments[^1] ? Recompute.Run(x, t => Through(t, start, end)) : Through(x, start, end);
            if (outputs.Contains(end))
            {
                features.Add(x);
                observer?.Invoke($"c{features.Count + 1}", x);
            }
            from = end;
        }
        return [.. features];
    }

    private Tensor Through(Tensor x, int from, int to)
    {
        for (int i = from; i < to; i++)
            x = Steps[i](x);
        return x;
    }
}
