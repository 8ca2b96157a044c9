using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// ResNet as published for classification: the backbone, the mean over the last map, a linear layer "fc". The published PyTorch state
/// dictionaries name the same parameters.
/// </summary>
internal sealed class ResNetClassifier : ResNet
{
    private readonly Linear fc;

    public ResNetClassifier(ResNetPlan plan, int classes = 1000) : base(plan) => fc = Add("fc", new Linear(Channels[^1], classes));

    /// <summary>Logits (N, classes) of images (N,H,W,3).</summary>
    public Tensor Logits(Tensor images) => fc.Forward(Functional.GlobalAveragePool(Forward(images)[^1]));
}
