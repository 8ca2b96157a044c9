using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>What a tensor core multiplies; a type, so that the choice is made when the kernel is compiled.</summary>
internal interface ITensorNumber
{
    /// <summary>Numbers in a word of 32 bits.</summary>
    static abstract int PerWord { get; }

    /// <summary>
    /// The fragment of rows [row, row + 16) and the words [8·step, 8·step + 8) of depth from a tile whose lines are steps of depth, chunks of rows side by side
    /// (see <see cref="TensorSide.Load"/>).
    /// </summary>
    static abstract Words LoadLines(ArrayView<F4> shared, int tile, int chunks, int row, int step, int lane, bool right);

    /// <summary>Where in its line a chunk lies.</summary>
    static abstract int Swizzle(int line, int chunk);

    /// <summary>What the tile holds, as the multiplication wants it.</summary>
    static abstract Words Round(Words fragment);

    static abstract F4 Multiply(F4 c, Words a, uint b0, uint b1);
}

/// <summary>float32 operands, rounded to ten bits of fraction on their way from shared memory to the tensor core.</summary>
internal readonly struct Tf32 : ITensorNumber
{
    public static int PerWord => 1;

    /// <summary>
    /// Numbers of 32 bits cannot be transposed by ldmatrix: single loads. The lanes of a load take rows g = 0..7 of lines t = 0..3 (mod 4): chunk
    /// c or c + 1, c even, moved by 2·t. So line t is in the banks of chunks c ^ 2t and the next, other ones for every t.
    /// </summary>
    public static Words LoadLines(ArrayView<F4> shared, int tile, int chunks, int row, int step, int lane, bool right)
    {
        var words = shared.Cast<uint>();
        int at = row + (lane >> 2), line = 8 * step + (lane & 3), next = at + 8;
        int first = 4 * (tile + line * chunks + Swizzle(line, at >> 2)) + (at & 3), second = 4 * (tile + line * chunks + Swizzle(line, next >> 2)) + (next & 3);
        int below = 16 * chunks; // four lines on: the swizzle is the same
        return right
            ? new(words[first], words[first + below], words[second], words[second + below])
            : new(words[first], words[second], words[first + below], words[second + below]);
    }

    public static int Swizzle(int line, int chunk) => chunk ^ 2 * (line & 3);

    public static Words Round(Words fragment) =>
        new(TensorCore.ToTf32(fragment.X), TensorCore.ToTf32(fragment.Y), TensorCore.ToTf32(fragment.Z), TensorCore.ToTf32(fragment.W));

    public static F4 Multiply(F4 c, Words a, uint b0, uint b1) => TensorCore.MultiplyTf32(c, a, b0, b1);
}

/// <summary>bf16 operands.</summary>
internal readonly struct Bf16 : ITensorNumber
{
    public static int PerWord => 2;

    /// <summary>
    /// ldmatrix transposes on the way. The eight lanes that give one matrix read the same chunk c of eight lines, line l moved to c ^ l (mod 8): all banks once.
    /// </summary>
    public static Words LoadLines(ArrayView<F4> shared, int tile, int chunks, int row, int step, int lane, bool right)
    {
        int odd = lane >> 3 & 1, high = lane >> 4, line = 16 * step + 8 * (right ? odd : high) + (lane & 7);
        return TensorCore.LoadTransposed(ref shared[tile + line * chunks + Swizzle(line, (row >> 3) + (right ? high : odd))]);
    }

    public static int Swizzle(int line, int chunk) => chunk ^ line & 7;

    public static Words Round(Words fragment) => fragment;

    public static F4 Multiply(F4 c, Words a, uint b0, uint b1) => TensorCore.MultiplyBf16(c, a, b0, b1);
}
