using ILGPU;
using ILGPU.IR.Intrinsics;

namespace CudaKernels.Kernels;

/// <summary>Four 32-bit words of a matrix fragment: TF32 numbers, or pairs of bf16 with the lower index in the lower half.</summary>
internal struct Words
{
    public uint X, Y, Z, W;

    public Words(uint x, uint y, uint z, uint w)
    {
        X = x;
        Y = y;
        Z = z;
        W = w;
    }
}

/// <summary>
/// The instructions of tensor cores and of asynchronous copies, which sm_80 and later know (PTX ISA 8.0: cp.async, ldmatrix, and the
/// fragments of mma.m16n8k8 and mma.m16n8k16). All threads of a warp call the matrix instructions together. With g = lane / 4 and t = lane % 4, word i of a lane is, of
/// an 8-row block of a fragment, row g at word t:
/// <code>
/// A, 16 rows x 8 words:  X = (g, t)   Y = (g+8, t)   Z = (g, t+4)   W = (g+8, t+4)
/// B, 8 words x 8 columns:  b0 = (t, g)   b1 = (t+4, g)
/// C, 16 rows x 8 columns of floats:  X, Y = (g, 2t), (g, 2t+1)   Z, W = (g+8, 2t), (g+8, 2t+1)
/// </code>
/// A word of depth is one TF32 number or two bf16 neighbours, so both types have the same fragments.
/// </summary>
internal static class TensorCore
{
    /// <summary>Threads that act as one.</summary>
    public const int WarpSize = 32;

    /// <summary>c + a·b over 8 of depth. The lower 13 bits of a word are ignored: round with <see cref="ToTf32"/> before.</summary>
    [IntrinsicImplementation, PtxInstruction("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {$d.0,$d.1,$d.2,$d.3}, {$1.0,$1.1,$1.2,$1.3}, {$2,$3}, {$0.0,$0.1,$0.2,$0.3};")]
    public static F4 MultiplyTf32(F4 c, Words a, uint b0, uint b1)
    {
        for (int t = 0; t < 4; t++)
            c = Add(c, RowsOf(a.X, a.Y, t), ColumnsOf(b0, t), 0xffffe000, 0);
        for (int t = 0; t < 4; t++)
            c = Add(c, RowsOf(a.Z, a.W, t), ColumnsOf(b1, t), 0xffffe000, 0);
        return c;
    }

    /// <summary>c + a·b over 16 of depth.</summary>
    [IntrinsicImplementation, PtxInstruction("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {$d.0,$d.1,$d.2,$d.3}, {$1.0,$1.1,$1.2,$1.3}, {$2,$3}, {$0.0,$0.1,$0.2,$0.3};")]
    public static F4 MultiplyBf16(F4 c, Words a, uint b0, uint b1)
    {
        for (int t = 0; t < 4; t++)
            for (int half = 16; half >= 0; half -= 16)
                c = Add(c, RowsOf(a.X, a.Y, t), ColumnsOf(b0, t), 0xffff0000, half);
        for (int t = 0; t < 4; t++)
            for (int half = 16; half >= 0; half -= 16)
                c = Add(c, RowsOf(a.Z, a.W, t), ColumnsOf(b1, t), 0xffff0000, half);
        return c;
    }

    /// <summary>The nearest TF32 number, ten bits of fraction, ties away from zero.</summary>
    [IntrinsicImplementation, PtxInstruction("cvt.rna.tf32.f32 $d, $0;")]
    public static uint ToTf32(uint value) => float.IsNaN(BitConverter.UInt32BitsToSingle(value)) ? 0x7fffffff : value + 0x1000 & ~0x1fffu;

    /// <summary>
    /// Four 8 x 8 matrices of 16-bit numbers, that is of 8 rows x 4 words. Lane 8·i + r gives the 16 bytes of row r of matrix i; word i of the result is
    /// (g, t) of matrix i.
    /// </summary>
    [IntrinsicImplementation, PtxInstruction("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$d.0,$d.1,$d.2,$d.3}, [$0];")]
    public static Words LoadMatrices([SharedAddress] ref F4 row)
    {
        int g = Warp.LaneIdx / 4, t = Warp.LaneIdx % 4;
        return new(Word(ref row, g, t), Word(ref row, 8 + g, t), Word(ref row, 16 + g, t), Word(ref row, 24 + g, t));
    }

    /// <summary>The same with each matrix transposed on the way: the halves of word i are (2t, g) and (2t+1, g) of matrix i, rows first.</summary>
    [IntrinsicImplementation, PtxInstruction("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {$d.0,$d.1,$d.2,$d.3}, [$0];")]
    public static Words LoadTransposed([SharedAddress] ref F4 row)
    {
        int g = Warp.LaneIdx / 4, t = Warp.LaneIdx % 4;
        return new(Pair(ref row, 0, g, t), Pair(ref row, 8, g, t), Pair(ref row, 16, g, t), Pair(ref row, 24, g, t));
    }

    /// <summary>Begins to copy 16 bytes past the registers and the first-level cache: the first <paramref name="bytes"/> of them, zeros behind.</summary>
    [IntrinsicImplementation, PtxInstruction("cp.async.cg.shared.global [$0], [$1], 16, $2;")]
    public static void Copy([SharedAddress] ref F4 shared, ref F4 global, int bytes) => shared = bytes == 0 ? default : global;

    /// <summary>The copies this thread has begun since the last call are a group.</summary>
    [IntrinsicImplementation, PtxInstruction("cp.async.commit_group;")]
    public static void Commit() { }

    /// <summary>Waits until of this thread's groups at most the youngest is still under way.</summary>
    [IntrinsicImplementation, PtxInstruction("cp.async.wait_group 1;")]
    public static void AwaitAllButOne() { }

    /// <summary>Waits for all copies of this thread: none may be under way when it ends.</summary>
    [IntrinsicImplementation, PtxInstruction("cp.async.wait_all;")]
    public static void AwaitAll() { }

    private static uint Word(ref F4 row, int lane, int word)
    {
        uint x = Bits(row.X, lane), y = Bits(row.Y, lane), z = Bits(row.Z, lane), w = Bits(row.W, lane);
        return word == 0 ? x : word == 1 ? y : word == 2 ? z : w;
    }

    private static uint Bits(float value, int lane) => BitConverter.SingleToUInt32Bits(Warp.Shuffle(value, lane));

    private static uint Pair(ref F4 row, int matrix, int column, int pair)
    {
        uint low = Word(ref row, matrix + 2 * pair, column / 2) >> column % 2 * 16, high = Word(ref row, matrix + 2 * pair + 1, column / 2) >> column % 2 * 16;
        return low & 0xffff | high << 16;
    }

    /// <summary>A's words at t of rows g and g + 8.</summary>
    private static (uint First, uint Second) RowsOf(uint first, uint second, int t)
    {
        int lane = Warp.LaneIdx / 4 * 4 + t;
        return (Warp.Shuffle(first, lane), Warp.Shuffle(second, lane));
    }

    /// <summary>B's words at t of columns 2·(lane % 4) and the next.</summary>
    private static (uint First, uint Second) ColumnsOf(uint value, int t)
    {
        int lane = Warp.LaneIdx % 4 * 8 + t;
        return (Warp.Shuffle(value, lane), Warp.Shuffle(value, lane + 4));
    }

    private static F4 Add(F4 c, (uint First, uint Second) a, (uint First, uint Second) b, uint mask, int shift)
    {
        float a0 = Part(a.First, mask, shift), a1 = Part(a.Second, mask, shift), b0 = Part(b.First, mask, shift), b1 = Part(b.Second, mask, shift);
        return new(c.X + a0 * b0, c.Y + a0 * b1, c.Z + a1 * b0, c.W + a1 * b1);
    }

    private static float Part(uint word, uint mask, int shift) => BitConverter.UInt32BitsToSingle(word << shift & mask);
}
