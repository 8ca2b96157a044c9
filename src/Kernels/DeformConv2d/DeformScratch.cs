using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>Memory that all deformable kernels need while they run: samples and columns of some output pixels, and a row of zeros.</summary>
internal readonly unsafe ref struct DeformScratch
{
    private readonly Scratch samples, columns, zeros;

    public DeformScratch(Device device, DeformShapes shapes, int pixels)
    {
        samples = new Scratch(device, new Shape(pixels, shapes.Samples, sizeof(DeformSample)), DType.U8, nameof(DeformSample));
        columns = new Scratch(device, new Shape(pixels, shapes.RowLength), DType.F32, "deformable columns");
        zeros = new Scratch(device, new Shape(shapes.Segment), DType.F32, "zeros outside of the image");
        device.Fill(zeros, 0);
    }

    public DeformSample* Samples => (DeformSample*)samples.U8;

    public float* Columns => columns.F32;

    public float* Zeros => zeros.F32;

    public void Dispose()
    {
        samples.Dispose();
        columns.Dispose();
        zeros.Dispose();
    }
}
