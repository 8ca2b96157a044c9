using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>A trainable detector. Images are normalised activations (N,H,W,3).</summary>
internal abstract class DetectionModel : Module
{
    public abstract ModelInfo Info { get; }

    public abstract Backbone Backbone { get; }

    /// <summary>Encodes the targets of images of the given shape for <see cref="Loss(Tensor, LossGoal, TensorView)"/>.</summary>
    public abstract LossGoal Encode(StepScope scope, Targets targets, Shape images);

    /// <summary>The weighted parts of the training loss; their sum is what is minimised.</summary>
    /// <param name="images">A batch, or a part of one.</param>
    /// <param name="goal">What <see cref="Encode"/> made for these images, in a scope that is still open.</param>
    /// <param name="normalizers">f32[n], laid out as <see cref="LossGoal.Normalizers"/>: those of the whole batch.</param>
    public abstract LossParts Loss(Tensor images, LossGoal goal, TensorView normalizers);

    /// <summary>The loss of images that are a whole batch.</summary>
    public LossParts Loss(Tensor images, Targets targets)
    {
        CheckImages(nameof(Loss), images);
        var goal = Encode(images.Scope, targets, images.Shape);
        return Loss(images, goal, goal.Normalizers.View);
    }

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
