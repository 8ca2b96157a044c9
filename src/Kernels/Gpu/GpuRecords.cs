using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// Scratch memory for records of any size on a GPU. A view counts whole records from the start of the driver's buffer, so the first has
/// to lie at a multiple of the record's size: one more is rented than is used, to make room for that.
/// </summary>
internal readonly struct GpuRecords<T>(GpuDevice device, long count, string owner) : IDisposable where T : unmanaged
{
    private readonly TensorView memory = device.Rent(new Shape(checked((int)count + 1), Unsafe.SizeOf<T>()), DType.U8, owner);

    public ArrayView<T> View => device.Records<T>(memory).SubView(0, count);

    public void Dispose() => device.Return(memory);
}
