using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>How a product may read its two sides, and by that which kernels may compute it.</summary>
internal enum ProductAccess
{
    Single,

    /// <summary>Four floats at once.</summary>
    Wide,

    /// <summary>Four floats at once, for tensor cores.</summary>
    Tf32,

    /// <summary>Eight bf16 numbers at once, for tensor cores.</summary>
    Bf16,
}

/// <summary>
/// The two sides of a product as its kernels take them: where they lie, or, for tensor cores at <see cref="Precision.Bf16"/>, as copies in that type. The first that fits:
/// bf16 where addresses and adjacent lengths are multiples of eight, TF32 of four, as far as the device's precision allows; else float32. Groups
/// narrower than <see cref="LeastGroup"/> would waste most of a tensor core's tile.
/// </summary>
internal readonly struct ProductSides : IDisposable
{
    private const int LeastGroup = 16;

    private readonly GpuDevice device;
    private readonly TensorView copyA, copyB;

    /// <param name="device">The device.</param>
    /// <param name="a">Left-hand side.</param>
    /// <param name="lengthA">Everything in <paramref name="a"/> begins at a multiple of this, and neighbours come in runs of it.</param>
    /// <param name="b">Right-hand side.</param>
    /// <param name="lengthB">The same for <paramref name="b"/>.</param>
    /// <param name="groups">Of the product.</param>
    /// <param name="owner">The operation, for the pool.</param>
    public ProductSides(GpuDevice device, TensorView a, int lengthA, TensorView b, int lengthB, int groups, string owner)
    {
        this.device = device;
        bool wide = a.Offset % 4 == 0 && b.Offset % 4 == 0 && lengthA % 4 == 0 && lengthB % 4 == 0;
        var precision = groups == 1 || Math.Min(lengthA, lengthB) >= LeastGroup ? device.Precision : Precision.Fp32;
        if (precision == Precision.Bf16 && lengthA % 8 == 0 && lengthB % 8 == 0)
        {
            (copyA, copyB) = (Narrow(a, owner), Narrow(b, owner));
            (A, B, Access) = (device.Words(copyA), device.Words(copyB), ProductAccess.Bf16);
        }
        else
            (A, B, Access) = (device.F32(a), device.F32(b), !wide ? ProductAccess.Single : precision == Precision.Fp32 ? ProductAccess.Wide : ProductAccess.Tf32);
    }

    public ArrayView<float> A { get; }

    public ArrayView<float> B { get; }

    public ProductAccess Access { get; }

    public void Dispose()
    {
        if (Access != ProductAccess.Bf16)
            return;
        device.Return(copyA);
        device.Return(copyB);
    }

    private TensorView Narrow(TensorView view, string owner)
    {
        var copy = device.Rent(view.Shape, DType.BF16, owner);
        new ConvertType(view, copy).Run(device);
        return copy;
    }
}
