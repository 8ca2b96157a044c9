namespace CudaKernels.Tests;

/// <summary>
/// Tensor cores: ldmatrix and mma, by whole warps. Lane l is row l / 4 and column pair l % 4 of an 8x8 fragment; the layouts are those
/// of the PTX ISA. Products are summed in double and rounded once, where hardware sums in an order of its own.
/// </summary>
internal static unsafe class PtxMatrix
{
    public static PtxStep? Find(PtxDecoder decoder)
    {
        string[] operands = decoder.Line.Operands;
        switch (string.Join('.', decoder.Line.Name).Replace("::cta", ""))
        {
            case "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32":
                return Multiply(decoder, operands, 8, Tf32);
            case "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32":
                return Multiply(decoder, operands, 16, Bf16);
            case var name when name.StartsWith("ldmatrix.sync.aligned.m8n8.x", StringComparison.Ordinal) && name[28..].Split('.') is ["1" or "2" or "4", .. var rest]
                && string.Join('.', rest) is "shared.b16" or "trans.shared.b16":
                int[] rows = decoder.Rows(operands[0]);
                return rows.Length == name[28] - '0' ? LoadMatrices(decoder, rows, operands[1], name.Contains("trans", StringComparison.Ordinal)) : null;
            default:
                return null;
        }
    }

    /// <summary>An element of a fragment, of the given register and lane, at place <paramref name="k"/> along the depth.</summary>
    private delegate double Fragment(Func<int, int, ulong> register, int blocks, int major, int k);

    // A, 16 x 8, is two blocks of eight rows: register 0 holds k 0-3 of the first, 1 of the second, 2 and 3 k 4-7. B is one block of eight columns.
    private static double Tf32(Func<int, int, ulong> register, int blocks, int major, int k) =>
        BitConverter.UInt32BitsToSingle((uint)register(major / 8 + blocks * (k / 4), major % 8 * 4 + k % 4) & ~0x1fffu);

    // Two neighbouring k share a register: the lower one the lower half.
    private static double Bf16(Func<int, int, ulong> register, int blocks, int major, int k) =>
        BitConverter.UInt32BitsToSingle((uint)register(major / 8 + blocks * (k / 8), major % 8 * 4 + k % 8 / 2) >> (k % 2 * 16) << 16);

    private static PtxStep? Multiply(PtxDecoder decoder, string[] operands, int depth, Fragment element)
    {
        if (operands is not [var to, var left, var right, var sum])
            return null;
        int[] d = decoder.Rows(to), a = decoder.Rows(left), b = decoder.Rows(right), c = decoder.Rows(sum);
        if ((d.Length, a.Length, b.Length, c.Length) is not (4, 4, 2, 4))
            return null;
        return warp =>
        {
            if (!warp.Meets(uint.MaxValue))
                return;
            ulong[] cells = warp.Cells;
            var result = new float[16, 8];
            for (int m = 0; m < 16; m++)
                for (int n = 0; n < 8; n++)
                {
                    double total = PtxType.Single(cells[c[m / 8 * 2 + n % 2] + m % 8 * 4 + n / 2]);
                    for (int k = 0; k < depth; k++)
                        total += element((r, lane) => cells[a[r] + lane], 2, m, k) * element((r, lane) => cells[b[r] + lane], 1, n, k);
                    result[m, n] = (float)total;
                }
            for (int m = 0; m < 16; m++)
                for (int n = 0; n < 8; n++)
                    cells[d[m / 8 * 2 + n % 2] + m % 8 * 4 + n / 2] = PtxType.Cell(result[m, n]);
        };
    }

    /// <summary>Lanes 8i to 8i + 7 give the addresses of the rows, 16 bytes each, of matrix i; register i takes it.</summary>
    private static PtxStep LoadMatrices(PtxDecoder decoder, int[] rows, string from, bool transpose)
    {
        var (address, offset) = decoder.Address(from);
        return warp =>
        {
            if (!warp.Meets(uint.MaxValue))
                return;
            ulong[] cells = warp.Cells;
            var matrices = new ushort[rows.Length, 8, 8];
            for (int row = 0; row < rows.Length * 8; row++)
            {
                byte* at = warp.Block.Shared.At(warp, row, (uint)(cells[address + row] + (ulong)offset), 16, PtxAccess.Read);
                for (int column = 0; column < 8; column++)
                    matrices[row / 8, row % 8, column] = ((ushort*)at)[column];
            }
            for (int i = 0; i < rows.Length; i++)
                for (int lane = 0; lane < PtxWarp.Lanes; lane++)
                {
                    int row = lane / 4, column = lane % 4 * 2;
                    ulong low = transpose ? matrices[i, column, row] : matrices[i, row, column];
                    ulong high = transpose ? matrices[i, column + 1, row] : matrices[i, row, column + 1];
                    cells[rows[i] + lane] = low | high << 16;
                }
        };
    }
}
