using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>A trainable detector. Images are normalised activations (N,H,W,3).</summary>
internal abstract class DetectionModel : Module
{
    public abstract ModelInfo Info { get; }

    /// <summary>The weighted parts of the training loss; their sum is what is minimised.</summary>
    public abstract LossParts Loss(Tensor images, Targets targets);

    /// <summary>Per image, detections of descending score.</summary>
    public abstract RawDetection[][] Detect(Tensor images);

    /// <summary>Runs the network as far as its output maps and shows every stage to the observer.</summary>
    public abstract void Trace(Tensor images, StageObserver observer);

    protected void CheckImages(string operation, Tensor images)
    {
        var shape = images.Shape;
        int multiple = Info.InputMultiple;
        if (shape.Rank != 4 || shape[3] != 3 || shape[1] % multiple != 0 || shape[2] % multiple != 0)
            throw new TensorException(
                $"{Info.Name}.{operation}: images expect f32[N,H,W,3] with H and W multiples of {multiple} but are {images.View}; resize them first");
    }
}
