using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>What one call of <see cref="RegisterTile"/> does beside its three pointers; see there.</summary>
internal unsafe struct TileWork
{
    /// <summary>Groups of row pointers to sum over, and the pointers from one group to the next.</summary>
    public int Taps, TapStride;

    /// <summary>Elements read through each row pointer, <see cref="Step"/> floats apart, beginning <see cref="Shift"/> floats on.</summary>
    public int Depth, Step;

    public nint Shift;

    /// <summary>Where in the rows of c (and in the bias) the tile's first column lies, and how many of its columns exist.</summary>
    public int Column, Columns;

    /// <summary>Adds to what lies <see cref="Addend"/> floats behind c: c itself, or another matrix of its form.</summary>
    public bool Accumulate;

    public nint Addend;

    /// <summary>Added once per element, null for none; the caller gives it with the first part of a sum only.</summary>
    public float* Bias;

    /// <summary>Factor of values ≤ 0 (<see cref="Activation.Factor"/>), 1 for none; given with the last part of a sum only.</summary>
    public float Factor;

    /// <summary>Stores full tiles past the caches; every row of them begins at a multiple of the vector's size.</summary>
    public bool Past;
}

/// <summary>
/// The innermost loop of all matrix work: one tile of c held in registers while a sum runs.
///   c[i][n] (+)= bias[n] + Σ_t Σ_j a[t·tapStride + i][shift + j·step] · b[(t·depth + j)·Width + n],   then the activation
/// for i in [0, Rows), n in [0, Width). Rows of a and of c are reached through pointers, so that a row may be a pixel of an image
/// (implicit convolution), a row of zeros (padding), a row or a column of a matrix, or a packed panel (step = Rows); b is a packed panel.
/// Two vectors wide; 6 rows fill 16 vector registers, 12 rows fill the 32 of 16-lane machines (12x32 and 6x16 reach the core's peak).
/// Six rows take two steps a pass: where another thread shares the core, what counts is the number of instructions.
/// Each element is summed in the same order wherever its row lies in a tile. Rows beyond an edge repeat the pointers of a row that
/// exists: all loads precede all stores, so a repeated row is computed twice and stored twice with one value.
/// </summary>
internal static unsafe class RegisterTile
{
    private const int MaxRows = 12, MaxWidth = 32;

    public static int Rows<TVector>() where TVector : unmanaged, ISimd<TVector> => TVector.Count == 16 ? 12 : 6;

    public static int Width<TVector>() where TVector : unmanaged, ISimd<TVector> => 2 * TVector.Count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply<TVector>(in TileWork work, float** a, float* b, float** c) where TVector : unmanaged, ISimd<TVector>
    {
        if (work.Columns < 2 * TVector.Count)
            Edge<TVector>(work, a, b, c);
        else if (TVector.Count == 16)
            Rows12<TVector>(work, a, b, c);
        else
            Rows6<TVector>(work, a, b, c);
    }

    /// <summary>A tile over the right edge of c: a full tile on the side, of which the columns that exist are copied.</summary>
    [SkipLocalsInit]
    private static void Edge<TVector>(in TileWork work, float** a, float* b, float** c) where TVector : unmanaged, ISimd<TVector>
    {
        int rows = Rows<TVector>(), width = Width<TVector>(), columns = work.Columns;
        float* values = stackalloc float[MaxRows * MaxWidth];
        float* bias = stackalloc float[MaxWidth];
        float** side = stackalloc float*[MaxRows];
        for (int i = 0; i < rows; i++)
        {
            side[i] = values + i * width;
            if (!work.Accumulate)
                continue;
            new Span<float>(side[i] + columns, width - columns).Clear();
            Unsafe.CopyBlockUnaligned(side[i], c[i] + work.Column + work.Addend, (uint)columns * sizeof(float));
        }
        var full = work;
        full.Column = 0;
        full.Addend = 0;
        full.Columns = width;
        full.Past = false;
        if (work.Bias != null)
        {
            new Span<float>(bias + columns, width - columns).Clear();
            Unsafe.CopyBlockUnaligned(bias, work.Bias + work.Column, (uint)columns * sizeof(float));
            full.Bias = bias;
        }
        Multiply<TVector>(full, a, b, side);
        for (int i = 0; i < rows; i++)
            Unsafe.CopyBlockUnaligned(c[i] + work.Column, side[i], (uint)columns * sizeof(float));
    }

    [MethodImpl(HotLoop.Options)]
    private static void Rows6<TVector>(in TileWork work, float** a, float* b, float** c) where TVector : unmanaged, ISimd<TVector>
    {
        int lanes = TVector.Count;
        nint column = work.Column;
        TVector low = TVector.Zero, high = TVector.Zero;
        if (work.Bias != null)
        {
            low = TVector.Load(work.Bias + column);
            high = TVector.Load(work.Bias + column + lanes);
        }
        TVector c0l = low, c0h = high, c1l = low, c1h = high, c2l = low, c2h = high, c3l = low, c3h = high, c4l = low, c4h = high, c5l = low, c5h = high;
        if (work.Accumulate)
        {
            nint addend = column + work.Addend;
            Add(ref c0l, ref c0h, c[0] + addend);
            Add(ref c1l, ref c1h, c[1] + addend);
            Add(ref c2l, ref c2h, c[2] + addend);
            Add(ref c3l, ref c3h, c[3] + addend);
            Add(ref c4l, ref c4h, c[4] + addend);
            Add(ref c5l, ref c5h, c[5] + addend);
        }
        nint step = work.Step, shift = work.Shift;
        for (int tap = work.Taps; tap > 0; tap--)
        {
            float* a0 = a[0] + shift, a1 = a[1] + shift, a2 = a[2] + shift, a3 = a[3] + shift, a4 = a[4] + shift, a5 = a[5] + shift;
            a += work.TapStride;
            nint j = 0;
            for (int pair = work.Depth >> 1; pair > 0; pair--, j += step)
            {
                low = TVector.Load(b);
                high = TVector.Load(b + lanes);
                Row(ref c0l, ref c0h, low, high, a0[j]);
                Row(ref c1l, ref c1h, low, high, a1[j]);
                Row(ref c2l, ref c2h, low, high, a2[j]);
                Row(ref c3l, ref c3h, low, high, a3[j]);
                Row(ref c4l, ref c4h, low, high, a4[j]);
                Row(ref c5l, ref c5h, low, high, a5[j]);
                j += step;
                low = TVector.Load(b + 2 * lanes);
                high = TVector.Load(b + 3 * lanes);
                b += 4 * lanes;
                Row(ref c0l, ref c0h, low, high, a0[j]);
                Row(ref c1l, ref c1h, low, high, a1[j]);
                Row(ref c2l, ref c2h, low, high, a2[j]);
                Row(ref c3l, ref c3h, low, high, a3[j]);
                Row(ref c4l, ref c4h, low, high, a4[j]);
                Row(ref c5l, ref c5h, low, high, a5[j]);
            }
            if ((work.Depth & 1) == 0)
                continue;
            low = TVector.Load(b);
            high = TVector.Load(b + lanes);
            b += 2 * lanes;
            Row(ref c0l, ref c0h, low, high, a0[j]);
            Row(ref c1l, ref c1h, low, high, a1[j]);
            Row(ref c2l, ref c2h, low, high, a2[j]);
            Row(ref c3l, ref c3h, low, high, a3[j]);
            Row(ref c4l, ref c4h, low, high, a4[j]);
            Row(ref c5l, ref c5h, low, high, a5[j]);
        }
        bool past = work.Past;
        if (work.Factor != 1)
        {
            var factor = TVector.Create(work.Factor);
            Activate(ref c0l, ref c0h, factor);
            Activate(ref c1l, ref c1h, factor);
            Activate(ref c2l, ref c2h, factor);
            Activate(ref c3l, ref c3h, factor);
            Activate(ref c4l, ref c4h, factor);
            Activate(ref c5l, ref c5h, factor);
        }
        Store(c0l, c0h, c[0] + column, past);
        Store(c1l, c1h, c[1] + column, past);
        Store(c2l, c2h, c[2] + column, past);
        Store(c3l, c3h, c[3] + column, past);
        Store(c4l, c4h, c[4] + column, past);
        Store(c5l, c5h, c[5] + column, past);
    }

    [MethodImpl(HotLoop.Options)]
    private static void Rows12<TVector>(in TileWork work, float** a, float* b, float** c) where TVector : unmanaged, ISimd<TVector>
    {
        int lanes = TVector.Count;
        nint column = work.Column;
        TVector low = TVector.Zero, high = TVector.Zero;
        if (work.Bias != null)
        {
            low = TVector.Load(work.Bias + column);
            high = TVector.Load(work.Bias + column + lanes);
        }
        TVector c0l = low, c0h = high, c1l = low, c1h = high, c2l = low, c2h = high, c3l = low, c3h = high, c4l = low, c4h = high, c5l = low, c5h = high, c6l = low, c6h = high, c7l = low, c7h = high, c8l = low, c8h = high, c9l = low, c9h = high, c10l = low, c10h = high, c11l = low, c11h = high;
        if (work.Accumulate)
        {
            nint addend = column + work.Addend;
            Add(ref c0l, ref c0h, c[0] + addend);
            Add(ref c1l, ref c1h, c[1] + addend);
            Add(ref c2l, ref c2h, c[2] + addend);
            Add(ref c3l, ref c3h, c[3] + addend);
            Add(ref c4l, ref c4h, c[4] + addend);
            Add(ref c5l, ref c5h, c[5] + addend);
            Add(ref c6l, ref c6h, c[6] + addend);
            Add(ref c7l, ref c7h, c[7] + addend);
            Add(ref c8l, ref c8h, c[8] + addend);
            Add(ref c9l, ref c9h, c[9] + addend);
            Add(ref c10l, ref c10h, c[10] + addend);
            Add(ref c11l, ref c11h, c[11] + addend);
        }
        nint end = (nint)work.Depth * work.Step, step = work.Step, shift = work.Shift;
        for (int tap = work.Taps; tap > 0; tap--)
        {
            float* a0 = a[0] + shift, a1 = a[1] + shift, a2 = a[2] + shift, a3 = a[3] + shift, a4 = a[4] + shift, a5 = a[5] + shift, a6 = a[6] + shift, a7 = a[7] + shift, a8 = a[8] + shift, a9 = a[9] + shift, a10 = a[10] + shift, a11 = a[11] + shift;
            a += work.TapStride;
            for (nint j = 0; j != end; j += step)
            {
                low = TVector.Load(b);
                high = TVector.Load(b + lanes);
                b += 2 * lanes;
                Row(ref c0l, ref c0h, low, high, a0[j]);
                Row(ref c1l, ref c1h, low, high, a1[j]);
                Row(ref c2l, ref c2h, low, high, a2[j]);
                Row(ref c3l, ref c3h, low, high, a3[j]);
                Row(ref c4l, ref c4h, low, high, a4[j]);
                Row(ref c5l, ref c5h, low, high, a5[j]);
                Row(ref c6l, ref c6h, low, high, a6[j]);
                Row(ref c7l, ref c7h, low, high, a7[j]);
                Row(ref c8l, ref c8h, low, high, a8[j]);
                Row(ref c9l, ref c9h, low, high, a9[j]);
                Row(ref c10l, ref c10h, low, high, a10[j]);
                Row(ref c11l, ref c11h, low, high, a11[j]);
            }
        }
        bool past = work.Past;
        if (work.Factor != 1)
        {
            var factor = TVector.Create(work.Factor);
            Activate(ref c0l, ref c0h, factor);
            Activate(ref c1l, ref c1h, factor);
            Activate(ref c2l, ref c2h, factor);
            Activate(ref c3l, ref c3h, factor);
            Activate(ref c4l, ref c4h, factor);
            Activate(ref c5l, ref c5h, factor);
            Activate(ref c6l, ref c6h, factor);
            Activate(ref c7l, ref c7h, factor);
            Activate(ref c8l, ref c8h, factor);
            Activate(ref c9l, ref c9h, factor);
            Activate(ref c10l, ref c10h, factor);
            Activate(ref c11l, ref c11h, factor);
        }
        Store(c0l, c0h, c[0] + column, past);
        Store(c1l, c1h, c[1] + column, past);
        Store(c2l, c2h, c[2] + column, past);
        Store(c3l, c3h, c[3] + column, past);
        Store(c4l, c4h, c[4] + column, past);
        Store(c5l, c5h, c[5] + column, past);
        Store(c6l, c6h, c[6] + column, past);
        Store(c7l, c7h, c[7] + column, past);
        Store(c8l, c8h, c[8] + column, past);
        Store(c9l, c9h, c[9] + column, past);
        Store(c10l, c10h, c[10] + column, past);
        Store(c11l, c11h, c[11] + column, past);
    }

    /// <summary>One row of a tile: what lies in memory is added to both its vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TVector>(ref TVector low, ref TVector high, float* from) where TVector : unmanaged, ISimd<TVector>
    {
        low += TVector.Load(from);
        high += TVector.Load(from + TVector.Count);
    }

    /// <summary>One row of a tile: sum += a·b over both its vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Row<TVector>(ref TVector lowSum, ref TVector highSum, TVector low, TVector high, float a) where TVector : unmanaged, ISimd<TVector>
    {
        var x = TVector.Create(a);
        TVector.AddProduct(ref lowSum, x, low);
        TVector.AddProduct(ref highSum, x, high);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Activate<TVector>(ref TVector low, ref TVector high, TVector factor) where TVector : unmanaged, ISimd<TVector>
    {
        low = Activation.Apply(low, factor);
        high = Activation.Apply(high, factor);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TVector>(TVector low, TVector high, float* to, bool past) where TVector : unmanaged, ISimd<TVector>
    {
        PastCache.Store(low, to, past);
        PastCache.Store(high, to + TVector.Count, past);
    }
}
