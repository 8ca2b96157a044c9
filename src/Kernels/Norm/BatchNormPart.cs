using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// What one rank tells the others of its batch, in one vector of 2C + 2 floats, so that one gather moves it: per channel the mean
/// Σx / n, per channel the centred square sum Σ(x - mean)², and n, the rows, as a <see cref="RowCount"/>. Sums of squares, Σx², would cancel.
/// No rows: all 0. Measured: mean and variance lie in the part already. The moments are those of <see cref="NormMoments"/>; <see cref="BatchNormMerge"/> joins the parts.
/// </summary>
internal readonly unsafe record struct BatchNormPart(TensorView X, TensorView Part, bool Measured = false) : IKernel
{
    public Cost Cost => new(6.0 * X.Length, X.Bytes + Part.Bytes);

    /// <summary>Floats of a part.</summary>
    public static int Length(int channels) => 2 * channels + RowCount.Length;

    public void Validate()
    {
        const string Name = nameof(BatchNormPart);
        Check.That(!X.IsNone && X.Type == DType.F32 && X.Shape.Rank >= 1 && X.Shape.Channels >= 1, Name, "x", "f32 of rank 1 or more with channels", X);
        Check.Shape(Name, "part", Part, new Shape(Length(X.Shape.Channels)));
        Check.Apart(Name, "x", X, "part", Part);
    }

    private NormMoments Moments
    {
        get
        {
            var channels = new Shape(X.Shape.Channels);
            return new(NormLayout.Batch(X.Shape), X, Part.Slice(0, channels), Part.Slice(channels.Length, channels));
        }
    }

    public void Run(CpuDevice device)
    {
        if (!Measured)
            Moments.Run(device);
        int channels = X.Shape.Channels;
        for (int c = 0; c < channels; c++)
            Part.F32[channels + c] = Squares(Part.F32[channels + c], X.Shape.Rows);
        (Part.F32[2 * channels], Part.F32[2 * channels + 1]) = RowCount.Split(X.Shape.Rows);
    }

    public void Run(GpuDevice device)
    {
        if (!Measured)
            Moments.Run(device);
        var (high, low) = RowCount.Split(X.Shape.Rows);
        device.LaunchFor(Kernel, X.Shape.Channels, new Arguments(device.F32(Part), X.Shape.Channels, X.Shape.Rows, high, low));
    }

    internal readonly record struct Arguments(ArrayView<float> Part, int Channels, double Rows, float High, float Low);

    private static void Kernel(Arguments a)
    {
        long c = Grid.GlobalLinearIndex;
        if (c >= a.Channels)
            return;
        a.Part[a.Channels + c] = Squares(a.Part[a.Channels + c], a.Rows);
        if (c > 0)
            return;
        a.Part[2 * a.Channels] = a.High;
        a.Part[2 * a.Channels + 1] = a.Low;
    }

    private static float Squares(float variance, double rows) => (float)(variance * rows);
}
