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

    /// <summary>1 where four columns from a multiple of four on may be read and written as one: rows of the target, and of the residual, begin at multiples of four floats.</summary>
    public int Wide { get; init; }

    /// <summary>What <see cref="Wide"/> is for views whose rows, and groups, are multiples of <paramref name="columns"/> floats long.</summary>
    public static int IsWide(int columns, TensorView target, TensorView residual = default) => columns % 4 == 0 && target.Offset % 4 == 0 && residual.Offset % 4 == 0 ? 1 : 0;

    /// <summary>1 where the columns' moments are wanted, in <see cref="Parts"/>; see <see cref="ColumnMoments"/>.</summary>
    public int Measures { get; init; }

    public ArrayView<F2> Parts { get; init; }

    /// <summary>A matrix whose rows lie <paramref name="stride"/> floats apart, groups <paramref name="group"/>.</summary>
    public static ProductTarget Matrix(ArrayView<float> values, long stride, long group) => new(values, 1, 1, stride, 0, 0, group);

    /// <summary>A grid; where its rows lie as evenly as those of a matrix, that matrix, which takes no dividing.</summary>
    public static ProductTarget Grid(ArrayView<float> values, int height, int width, long image, long line, long pixel, long group) =>
        line == width * pixel && image == height * line ? Matrix(values, pixel, group) : new(values, height, width, image, line, pixel, group);

    public long Row(int split, int group, int row)
    {
        if (Height * Width == 1)
            return split * Split + group * Group + row * Image;
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

    /// <summary>Stores those of four neighbours, from a column on that is a multiple of four, that lie in front of the end.</summary>
    /// <param name="row">What <see cref="Row"/> says.</param>
    /// <param name="column">First column of the group.</param>
    /// <param name="columns">Columns of a group.</param>
    /// <param name="group">The group.</param>
    /// <param name="sums">The values.</param>
    public void StoreFour(long row, int column, int columns, int group, F4 sums)
    {
        int channel = group * columns + column;
        if (Wide != 0)
        {
            if (column < columns)
                StoreWide(row + column >> 2, channel, sums);
            return;
        }
        if (column < columns)
            Store(row, column, channel, sums.X);
        if (column + 1 < columns)
            Store(row, column + 1, channel + 1, sums.Y);
        if (column + 2 < columns)
            Store(row, column + 2, channel + 2, sums.Z);
        if (column + 3 < columns)
            Store(row, column + 3, channel + 3, sums.W);
    }

    private void StoreWide(long at, int channel, F4 sums)
    {
        if (HasScale != 0)
            sums = new(sums.X * Scale[channel], sums.Y * Scale[channel + 1], sums.Z * Scale[channel + 2], sums.W * Scale[channel + 3]);
        if (HasBias != 0)
            sums = Add(sums, new(Bias[channel], Bias[channel + 1], Bias[channel + 2], Bias[channel + 3]));
        if (Accumulate == 1)
            sums = Add(sums, Values.Cast<F4>()[at]);
        if (Accumulate == 2)
            sums = Add(sums, Residual.Cast<F4>()[at]);
        Values.Cast<F4>()[at] = new(Activation.Apply(sums.X, Factor), Activation.Apply(sums.Y, Factor), Activation.Apply(sums.Z, Factor), Activation.Apply(sums.W, Factor));
    }

    private static F4 Add(F4 a, F4 b) => new(a.X + b.X, a.Y + b.Y, a.Z + b.Z, a.W + b.W);
}
