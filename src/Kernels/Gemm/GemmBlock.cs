using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// A small matrix product for use inside another kernel's thread body: no threads, no rented memory.
/// B is packed once, by <see cref="PackB"/> into <see cref="PackedFloats"/> floats of the caller's, and may serve many products and
/// threads. Packed layout: the depth k in blocks of at most 256; in each block one panel per 2·Count columns (zeros behind
/// the last column); in a panel k rows of 2·Count floats, one after the other.
/// </summary>
internal static unsafe class GemmBlock
{
    private const int MaxRows = 12, MaxDepth = 256;

    /// <summary>Columns of the panels that n columns fall into. B packed for n serves for so many too: what is beyond n comes out as zero.</summary>
    public static int WholePanels<TVector>(int n) where TVector : unmanaged, ISimd<TVector>
    {
        int width = RegisterTile.Width<TVector>();
        return (n + width - 1) / width * width;
    }

    /// <summary>Floats that a packed B of k rows and n columns takes.</summary>
    public static long PackedFloats<TVector>(int n, int k) where TVector : unmanaged, ISimd<TVector> => (long)WholePanels<TVector>(n) * k;

    /// <summary>Where in a packed B of k rows the panel that begins with a column, a multiple of the panel's width, has its row j.</summary>
    public static long PackedRow<TVector>(int n, int k, int j, int column) where TVector : unmanaged, ISimd<TVector>
    {
        int width = RegisterTile.Width<TVector>(), start = j / MaxDepth * MaxDepth, depth = Math.Min(MaxDepth, k - start);
        return PackedFloats<TVector>(n, start) + (long)column * depth + (long)(j - start) * width;
    }

    /// <summary>Packs op(B)[k,n], whose element (j, column) lies at b[j·rowStride + column·columnStride].</summary>
    public static void PackB<TVector>(int n, int k, float* b, nint rowStride, nint columnStride, float* packedB) where TVector : unmanaged, ISimd<TVector>
    {
        int width = RegisterTile.Width<TVector>();
        for (int start = 0; start < k; start += MaxDepth)
        {
            int depth = Math.Min(MaxDepth, k - start);
            for (int column = 0; column < n; column += width, packedB += depth * width)
                Panel.Pack<TVector>(b + start * rowStride + column * columnStride, depth, rowStride, Math.Min(width, n - column), columnStride, packedB);
        }
    }

    /// <summary>
    /// c[m,n] (+)= a[m,k] · B, with rows of a and c lda and ldc floats apart. Accumulate false writes c, which may then hold anything.
    /// Each element of c is summed over k in one order, whatever m and n are. A panel stays in the first-level cache while the rows
    /// pass, so 256 columns of a's rows should fit into the second: up to a few hundred rows.
    /// </summary>
    [MethodImpl(HotLoop.Options)]
    [SkipLocalsInit]
    public static void Multiply<TVector>(int m, int n, int k, float* a, nint lda, float* packedB, float* c, nint ldc, bool accumulate)
        where TVector : unmanaged, ISimd<TVector>
    {
        int rows = RegisterTile.Rows<TVector>(), width = RegisterTile.Width<TVector>();
        float** from = stackalloc float*[MaxRows];
        float** to = stackalloc float*[MaxRows];
        if (k == 0 && !accumulate)
            for (int i = 0; i < m; i++)
                new Span<float>(c + i * ldc, n).Clear();
        for (int start = 0; start < k; start += MaxDepth)
        {
            var work = new TileWork { Taps = 1, TapStride = rows, Depth = Math.Min(MaxDepth, k - start), Step = 1, Shift = start, Accumulate = accumulate || start > 0, Factor = 1 };
            float* panel = packedB;
            for (int column = 0; column < n; column += width, panel += work.Depth * width)
            {
                work.Column = column;
                work.Columns = Math.Min(width, n - column);
                for (int row = 0; row < m; row += rows)
                {
                    for (int i = 0; i < rows; i++)
                    {
                        int existing = Math.Min(row + i, m - 1);
                        from[i] = a + existing * lda;
                        to[i] = c + existing * ldc;
                    }
                    RegisterTile.Multiply<TVector>(work, from, panel, to);
                }
            }
            packedB += (long)work.Depth * WholePanels<TVector>(n);
        }
    }
}
