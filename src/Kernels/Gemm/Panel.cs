using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>Packing of one panel: depth rows of 2·Count floats, in the order in which <see cref="RegisterTile"/> reads them.</summary>
internal static unsafe class Panel
{
    /// <summary>
    /// to[j·Width + n] = from[j·rowStride + n·columnStride] for n in [0, columns), zero for the rest. One of the strides is
    /// 1 in all uses; neither has to be.
    /// </summary>
    [MethodImpl(HotLoop.Options)]
    public static void Pack<TVector>(float* from, int depth, nint rowStride, int columns, nint columnStride, float* to) where TVector : unmanaged, ISimd<TVector>
    {
        int lanes = TVector.Count, width = 2 * lanes;
        if (columnStride == 1 && columns == width)
        {
            for (int j = 0; j < depth; j++, from += rowStride, to += width)
            {
                TVector.Store(TVector.Load(from), to);
                TVector.Store(TVector.Load(from + lanes), to + lanes);
            }
            return;
        }
        int column = 0;
        if (rowStride == 1 && Sse.IsSupported)
            for (; column + 4 <= columns; column += 4)
                Transpose4(from + column * columnStride, depth, columnStride, to + column, width);
        for (; column < columns; column++)
            for (int j = 0; j < depth; j++)
                to[j * width + column] = from[j * rowStride + column * columnStride];
        for (; column < width; column++)
            for (int j = 0; j < depth; j++)
                to[j * width + column] = 0;
    }

    /// <summary>Multiplies each column by its factor.</summary>
    [MethodImpl(HotLoop.Options)]
    public static void Scale<TVector>(float* panel, int depth, float* factors, int columns) where TVector : unmanaged, ISimd<TVector>
    {
        int lanes = TVector.Count, width = 2 * lanes;
        float* all = stackalloc float[width];
        for (int column = 0; column < width; column++)
            all[column] = column < columns ? factors[column] : 0;
        TVector low = TVector.Load(all), high = TVector.Load(all + lanes);
        for (int j = 0; j < depth; j++, panel += width)
        {
            TVector.Store(TVector.Load(panel) * low, panel);
            TVector.Store(TVector.Load(panel + lanes) * high, panel + lanes);
        }
    }

    /// <summary>Four columns that are contiguous in memory become four neighbouring elements of each row: 4x4 transpositions.</summary>
    [MethodImpl(HotLoop.Options)]
    private static void Transpose4(float* from, int depth, nint columnStride, float* to, int width)
    {
        float* f0 = from, f1 = from + columnStride, f2 = f1 + columnStride, f3 = f2 + columnStride;
        int j = 0;
        for (; j + 4 <= depth; j += 4, to += 4 * width)
        {
            Vector128<float> v0 = Vector128.Load(f0 + j), v1 = Vector128.Load(f1 + j), v2 = Vector128.Load(f2 + j), v3 = Vector128.Load(f3 + j);
            Vector128<float> low01 = Sse.UnpackLow(v0, v1), low23 = Sse.UnpackLow(v2, v3), high01 = Sse.UnpackHigh(v0, v1), high23 = Sse.UnpackHigh(v2, v3);
            Sse.MoveLowToHigh(low01, low23).Store(to);
            Sse.MoveHighToLow(low23, low01).Store(to + width);
            Sse.MoveLowToHigh(high01, high23).Store(to + 2 * width);
            Sse.MoveHighToLow(high23, high01).Store(to + 3 * width);
        }
        for (; j < depth; j++, to += width)
        {
            to[0] = f0[j];
            to[1] = f1[j];
            to[2] = f2[j];
            to[3] = f3[j];
        }
    }
}
