using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>gradBias[c] (+)= Σ over all rows of gradY[row,c]: the gradient of a bias. GradY (...,C), GradBias (C).</summary>
internal readonly record struct ChannelSum(TensorView GradY, TensorView GradBias, bool Accumulate = false) : IKernel
{
    public Cost Cost => new(GradY.Length, GradY.Bytes + GradBias.Bytes);

    public void Validate()
    {
        if (GradY.IsNone || GradY.Type != DType.F32)
            throw new KernelException($"{nameof(ChannelSum)}: gradY expects f32 but is {GradY}");
        Check.Shape(nameof(ChannelSum), "gradBias", GradBias, new Shape(GradY.Shape.Channels));
        Check.Apart(nameof(ChannelSum), "gradY", GradY, "gradBias", GradBias);
    }

    public unsafe void Run(CpuDevice device)
    {
        float* from = GradY.F32, to = GradBias.F32;
        int channels = GradY.Shape.Channels;
        long rows = GradY.Shape.Rows;
        for (int c = 0; c < channels; c++)
        {
            double sum = Accumulate ? to[c] : 0;
            for (long i = 0; i < rows; i++)
                sum += from[i * channels + c];
            to[c] = (float)sum;
        }
    }
}
