namespace CudaKernels.Kernels;

/// <summary>
/// One axis of a resize as tables: output position o reads input <see cref="Low"/>[o] and the one after it (or itself at the border)
/// with weights 1 - w and w. For the gradient the same turned round: input i is read by outputs Begin[i] .. End[i] - 1, with
/// the weights from Gradient[Start[i]] on. Outputs read ascending inputs, so each of these ranges has no holes.
/// <para>
/// Source position, corners aligned: o·(in - 1)/(out - 1), or 0 when out = 1; otherwise half-pixel centres:
/// max(0, (o + ½)·in/out - ½). Nearest: ⌊o·in/out⌋ with weight 1.
/// </para>
/// Computed in double on the calling thread, into <see cref="TableLength"/> numbers of scratch memory.
/// </summary>
internal readonly unsafe struct ResizeAxis
{
    private readonly int* table;
    private readonly int input, output;

    public ResizeAxis(int* table, ResizeMode mode, int input, int output)
    {
        this.table = table;
        (this.input, this.output) = (input, output);
        for (int o = 0; o < output; o++)
        {
            Low[o] = Position(mode, o, input, output, out float weight);
            Weight[o] = weight;
        }
        TurnRound();
    }

    public int* Low => table;

    /// <summary>Weight of the input after <see cref="Low"/>; 0 where there is none.</summary>
    public float* Weight => (float*)Low + output;

    public int* Begin => Low + 4 * output;

    public int* End => Begin + input;

    /// <summary>Where the weights of an input begin in <see cref="Gradient"/>.</summary>
    public int* Start => End + input;

    public float* Gradient => (float*)Low + 2 * output;

    public static int TableLength(int input, int output) => 4 * output + 3 * input;

    /// <summary>The input an output reads, and the weight of the one after it.</summary>
    public static int Position(ResizeMode mode, int o, int input, int output, out float weight)
    {
        double source;
        if (mode == ResizeMode.Nearest)
            source = (long)o * input / output;
        else if (mode == ResizeMode.AlignCorners)
            source = output == 1 ? 0 : (double)o * (input - 1) / (output - 1);
        else
            source = Math.Max(0, (o + 0.5) * input / output - 0.5);
        int low = Math.Min((int)source, input - 1);
        weight = low + 1 < input ? (float)(source - low) : 0;
        return low;
    }

    private void TurnRound()
    {
        int weights = 0;
        for (int i = 0, begin = 0; i < input; i++)
        {
            while (begin < output && Low[begin] < i - 1)
                begin++;
            while (begin < output && Low[begin] == i - 1 && Weight[begin] == 0)
                begin++;
            int end = begin;
            Start[i] = weights;
            for (; end < output && Low[end] <= i; end++)
                Gradient[weights++] = Low[end] == i ? 1 - Weight[end] : Weight[end];
            (Begin[i], End[i]) = (begin, end);
        }
    }
}

internal enum ResizeMode : byte
{
    Nearest,
    HalfPixel,
    AlignCorners,
}
