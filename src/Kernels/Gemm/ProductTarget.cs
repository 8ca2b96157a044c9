using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// Where a product goes and what happens on the way: target = act(scale[column]·sum + bias[column] (+ target, or a residual)). Row (n, y, x) of a grid lies at
/// n·Image + y·Line + x·Pixel; the rows of a plain matrix are a grid of one point an image.
/// </summary>
internal readonly record struct ProductTarget(ArrayView<float> Values, int Height, int Width, long Image, long Line, long Pixel, long Group)
{
    /// <summary>From one partial result to the next; zero in a final target.</summary>
    public long Split { get; init; }

    /// <summary>A factor of each column, where <see cref="HasScale"/> is 1.</summary>
    public ArrayView<float> Scale { get; init; }

    public int HasScale { get; init; }

    public ArrayView<float> Bias { get; init; }

    /// <summary>1 where there is one: an empty view cannot be told on the device.</summary>
    public int HasBias { get; init; }

    /// <summary>Of the activation.</summary>
    public float Factor { get; init; } = 1;

    /// <summary>1 adds what the target holds, 2 what <see cref="Residual"/> holds in its place.</summary>
    public int Accumulate { get; init; }

    public ArrayView<float> Residual { get; init; }

    /// <summary>A matrix whose rows lie <paramref name="stride"/> floats apart, groups <paramref name="group"/>.</summary>
    public static ProductTarget Matrix(ArrayView<float> values, long stride, long group) => new(values, 1, 1, stride, 0, 0, group);

    public long Row(int split, int group, int row)
    {
        int line = row / Width, image = line / Height;
        return split * Split + group * Group + image * Image + (line - image * Height) * Line + (row - line * Width) * Pixel;
    }

    /// <param name="row">What <see cref="Row"/> says.</param>
    /// <param name="column">Column of the group.</param>
    /// <param name="channel">Column of all groups: the bias's index.</param>
    /// <param name="sum">The value.</param>
    public void Store(long row, int column, int channel, float sum)
    {
        if (HasScale != 0)
            sum *= Scale[channel];
        if (HasBias != 0)
            sum += Bias[channel];
        if (Accumulate == 1)
            sum += Values[row + column];
        if (Accumulate == 2)
            sum += Residual[row + column];
        Values[row + column] = Activation.Apply(sum, Factor);
    }
}
