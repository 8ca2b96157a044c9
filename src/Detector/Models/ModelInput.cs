using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>How pictures become network input, in training, evaluation and use alike.</summary>
internal static class ModelInput
{
    /// <summary>Mean of red, green, blue over ImageNet, in levels 0..255.</summary>
    public static readonly ChannelTriple Mean = new(123.675f, 116.28f, 103.53f);

    public static readonly ChannelTriple Deviation = new(58.395f, 57.12f, 57.375f);

    /// <summary>Resizes to size × size (bilinear, proportions are not kept) and normalises: f32 (N,size,size,3).</summary>
    public static Tensor Prepare(StepScope scope, IReadOnlyList<ImageBuffer> pictures, int size)
    {
        int bytes = 3 * size * size;
        var pixels = new byte[pictures.Count * bytes];
        for (int i = 0; i < pictures.Count; i++)
            Resize.Bilinear(pictures[i], size, size, pixels.AsSpan(i * bytes, bytes));
        return Normalize(scope, pixels, pictures.Count, size, size);
    }

    /// <param name="scope">Owns the result.</param>
    /// <param name="pixels">Red, green, blue of <paramref name="count"/> pictures of equal size, one after another.</param>
    /// <param name="count">Pictures.</param>
    /// <param name="height">Rows of each.</param>
    /// <param name="width">Columns of each.</param>
    public static Tensor Normalize(StepScope scope, ReadOnlySpan<byte> pixels, int count, int height, int width)
    {
        var shape = new Shape(count, height, width, 3);
        var raw = scope.Upload(pixels, shape, nameof(ModelInput), DType.U8);
        var images = scope.Rent(shape, nameof(ModelInput));
        scope.Device.Run(new NormalizeImage(raw.View, images.View, Mean, Deviation));
        return images;
    }
}
