using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>What a tensor core multiplies; a type, so that the choice is made when the kernel is compiled. Lines of depth: see <see cref="TensorSide"/>.</summary>
internal interface ITensorNumber
{
    /// <summary>Numbers in a word of 32 bits.</summary>
    static abstract int PerWord { get; }

    /// <summary>Chunks in a line of depth of a tile of that size.</summary>
    static abstract int Chunks(int size);

    /// <summary>Where in its line of depth a chunk lies.</summary>
    static abstract int Swizzle(int line, int chunk);

    /// <summary>Where a lane reads of the fragment that begins at a row, a multiple of 32; for <see cref="LoadLines"/>.</summary>
    static abstract int LanePlace(int chunks, int row, int lane, bool right);

    /// <summary>A fragment as <see cref="TensorSide.Load"/> gives it, from lines of depth: 16·<paramref name="block"/> rows, below 64, from where the lane's place was taken.</summary>
    static abstract Words LoadLines(ArrayView<F4> shared, int tile, int chunks, int place, int block, int step, bool right);

    /// <summary>What the tile holds, as the multiplication wants it.</summary>
    static abstract Words Round(Words fragment);

    static abstract F4 Multiply(F4 c, Words a, uint b0, uint b1);
}

/// <summary>float32 operands, rounded to ten bits of fraction on their way from shared memory to the tensor core.</summary>
internal readonly struct Tf32 : ITensorNumber
{
    public static int PerWord => 1;

    public static int Chunks(int size) => size / 4;

    /// <summary>
    /// ldmatrix does not transpose numbers of 32 bits: single loads. The lanes of a load take rows g = 0..7 of lines t = 0..3 (modulo 4): chunks
    /// c and c + 1, c even, moved by 2·t. So line t is in the banks of chunks c ^ 2t and the next, other ones for every t.
    /// </summary>
    public static int Swizzle(int line, int chunk) => chunk ^ 2 * (line & 3);

    /// <summary>A word, not a chunk.</summary>
    public static int LanePlace(int chunks, int row, int lane, bool right)
    {
        int at = row + (lane >> 2), line = lane & 3;
        return 4 * (line * chunks + Swizzle(line, at >> 2)) + (at & 3);
    }

    /// <summary>Eight rows are two chunks: places differ in bits that the swizzle may turn but does not carry into others. Four lines on it is the same.</summary>
    public static Words LoadLines(ArrayView<F4> shared, int tile, int chunks, int place, int block, int step, bool right)
    {
        var words = shared.Cast<uint>();
        int lines = 4 * tile + 32 * chunks * step, first = lines + (place ^ 16 * block), second = lines + (place ^ 16 * block + 8), below = 16 * chunks;
        return right
            ? new(words[first], words[first + below], words[second], words[second + below])
            : new(words[first], words[second], words[first + below], words[second + below]);
    }

    public static Words Round(Words fragment) =>
        new(TensorCore.ToTf32(fragment.X), TensorCore.ToTf32(fragment.Y), TensorCore.ToTf32(fragment.Z), TensorCore.ToTf32(fragment.W));

    public static F4 Multiply(F4 c, Words a, uint b0, uint b1) => TensorCore.MultiplyTf32(c, a, b0, b1);
}

/// <summary>bf16 operands.</summary>
internal readonly struct Bf16 : ITensorNumber
{
    public static int PerWord => 2;

    public static int Chunks(int size) => size / 8;

    /// <summary>The eight lanes that give ldmatrix one matrix read the same chunk c of eight lines, line l moved to c ^ l (modulo 8): all banks once.</summary>
    public static int Swizzle(int line, int chunk) => chunk ^ line & 7;

    public static int LanePlace(int chunks, int row, int lane, bool right)
    {
        int odd = lane >> 3 & 1, high = lane >> 4, line = 8 * (right ? odd : high) + (lane & 7);
        return line * chunks + Swizzle(line, (row >> 3) + (right ? high : odd));
    }

    /// <summary>ldmatrix transposes on the way. Sixteen rows are two chunks, which no carry takes out of their eight.</summary>
    public static Words LoadLines(ArrayView<F4> shared, int tile, int chunks, int place, int block, int step, bool right) =>
        TensorCore.LoadTransposed(ref shared[tile + 16 * chunks * step + (place ^ 2 * block)]);

    public static Words Round(Words fragment) => fragment;

    public static F4 Multiply(F4 c, Words a, uint b0, uint b1) => TensorCore.MultiplyBf16(c, a, b0, b1);
}
