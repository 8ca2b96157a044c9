using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>One double per chunk of a sum, in scratch memory; adding them in order makes the sum independent of the threads.</summary>
internal readonly unsafe ref struct ChunkSums(CpuDevice device, int count, string owner) : IDisposable
{
    private readonly Scratch scratch = new(device, new Shape(count, 2), DType.F32, owner);

    public double* Values => (double*)scratch.F32;

    public double Total()
    {
        double total = 0;
        for (int i = 0; i < count; i++)
            total += Values[i];
        return total;
    }

    public void Dispose() => scratch.Dispose();
}
