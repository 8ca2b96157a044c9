namespace CudaKernels.Kernels;

/// <summary>
/// The problem of <see cref="ImplicitGemm"/>: a grid of target rows, each the sum over taps of a source pixel times that tap's
/// matrix. Grid point (n, y, x) reads, for tap t, the source pixel (n, y·StepY + TapY[t], x·StepX + TapX[t]), zeros where that
/// lies outside. Strides are in floats; channels of a source pixel are <see cref="ChannelStep"/> apart (other than 1 only where
/// no tap leaves the source), target columns are adjacent.
/// </summary>
internal unsafe struct Gather
{
    public int Batch, Height, Width;

    public float* Source;
    public int SourceHeight, SourceWidth;
    public nint SourceImage, SourceRow, SourcePixel;
    public int Channels, ChannelStep;

    public int StepY, StepX;

    /// <summary>Offsets of each tap, and where its matrix begins behind <see cref="Weight"/>.</summary>
    public int Taps;
    public int* TapY, TapX, TapWeight;

    /// <summary>
    /// Taps in a row (t, t+1, ...) whose pixels follow each other in memory, as those of a kernel row without dilation do; a divisor
    /// of <see cref="Taps"/>. Where all of them lie inside the source, they are read as one long pixel.
    /// </summary>
    public int Run;

    /// <summary>Element (tap, channel, column) lies at Weight[TapWeight[tap] + channel·WeightChannel + column·WeightColumn].</summary>
    public float* Weight;
    public nint WeightChannel, WeightColumn;

    public float* Target;
    public nint TargetImage, TargetRow, TargetPixel;
    public int Columns;

    /// <summary>A factor of each column of the weights, null for none.</summary>
    public float* Scale;

    /// <summary>Null for none.</summary>
    public float* Bias;

    /// <summary><see cref="Activation.Factor"/>.</summary>
    public float Factor;

    /// <summary>Adds to what the target holds, or what lies <see cref="Addend"/> floats behind it.</summary>
    public bool Accumulate;

    public nint Addend;

    public readonly int Rows => checked(Batch * Height * Width);

    /// <summary>target[m, columns] = source[m, channels] · weight: a matrix product, every row one pixel of one tap.</summary>
    public static Gather Matrix(int m, float* source, nint sourceRow, int channels, int channelStep, float* weight, nint weightChannel, nint weightColumn,
        float* target, int columns, int* zeroTap) => new()
        {
            Batch = 1,
            Height = 1,
            Width = m,
            Source = source,
            SourceHeight = 1,
            SourceWidth = m,
            SourcePixel = sourceRow,
            Channels = channels,
            ChannelStep = channelStep,
            StepY = 1,
            StepX = 1,
            Taps = 1,
            TapY = zeroTap,
            TapX = zeroTap,
            TapWeight = zeroTap,
            Run = 1,
            Weight = weight,
            WeightChannel = weightChannel,
            WeightColumn = weightColumn,
            Target = target,
            TargetPixel = columns,
            Columns = columns,
            Factor = 1,
        };
}
