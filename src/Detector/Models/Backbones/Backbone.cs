using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>Sees every named stage of a forward pass as it is computed.</summary>
internal delegate void StageObserver(string name, Tensor output);

/// <summary>A feature extractor with outputs c2..c5 at strides 4, 8, 16 and 32.</summary>
internal abstract class Backbone : Module
{
    /// <summary>Channels of c2..c5.</summary>
    public abstract IReadOnlyList<int> Channels { get; }

    /// <summary>The four stages that make c2..c5, each from the one before; the first from the stem.</summary>
    protected abstract IReadOnlyList<UnaryModule> Stages { get; }

    /// <summary>c2..c5 of images (N,H,W,3), H and W multiples of 32.</summary>
    public Tensor[] Forward(Tensor images, StageObserver? observer = null)
    {
        var x = Stem(images);
        var features = new Tensor[Stages.Count];
        for (int i = 0; i < features.Length; i++)
        {
            features[i] = x = Stages[i].Forward(x);
            observer?.Invoke($"c{i + 2}", x);
        }
        return features;
    }

    protected abstract Tensor Stem(Tensor images);
}
