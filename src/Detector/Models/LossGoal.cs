using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>What a model shall say about the pictures of a batch, made from their targets alone.</summary>
/// <param name="Normalizers">
/// f32[n]: what the parts of the loss are divided by (peaks, sums of weights, sampled anchors), counted on these pictures. Where the pictures
/// are a part of a batch, the sums over all parts divide: then gradients and losses of the parts add up to those of the whole.
/// </param>
internal abstract record LossGoal(Tensor Normalizers);
