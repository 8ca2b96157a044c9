using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// What a row, or a step of depth, contributes to the address of an element: an offset, and a position in an image where there is one; and how far it lies within a run of
/// neighbours, for those that go on to the next run.
/// </summary>
internal readonly record struct Place(long Offset, int Y, int X, int Within = 0)
{
    public Place Moved(long offset) => new(Offset + offset, Y, X, Within);
}

/// <summary>
/// One side of <see cref="GpuProduct"/>: element (row, depth) of a matrix that may exist only as a rule. Rows of the right-hand side are the
/// columns of the product. Addresses are split into the part of the row and the part of the depth, each computed once for many elements.
/// </summary>
internal interface IOperand
{
    /// <summary>Whether neighbours in memory are neighbours in rows (else in depth): threads of a warp load neighbours.</summary>
    static abstract bool RowsAdjacent { get; }

    Place Row(int row);

    Place Depth(int depth);

    /// <summary>The row <paramref name="step"/> further on, found without dividing.</summary>
    Place NextRow(Place row, int step);

    /// <summary>The same for depth.</summary>
    Place NextDepth(Place depth, int step);

    /// <summary>Whether an element lies anywhere; else it is zero.</summary>
    bool Has(Place row, Place depth);

    /// <summary>Where in <see cref="Values"/> it lies.</summary>
    long Index(Place row, Place depth);

    /// <summary>What the operand is made of; bf16 numbers as words of two.</summary>
    ArrayView<float> Values { get; }

    float Load(Place row, Place depth);

    /// <summary>This element and the next three in the adjacent direction, as one access; the address must be a multiple of four floats.</summary>
    F4 LoadFour(Place row, Place depth);
}

/// <summary>A matrix (row, depth) whose rows lie <c>Stride</c> floats apart.</summary>
internal readonly record struct MatrixOperand(ArrayView<float> Values, long Stride) : IOperand
{
    public static bool RowsAdjacent => false;

    public Place Row(int row) => new(row * Stride, 0, 0);

    public Place Depth(int depth) => new(depth, 0, 0);

    public Place NextRow(Place row, int step) => new(row.Offset + step * Stride, 0, 0);

    public Place NextDepth(Place depth, int step) => new(depth.Offset + step, 0, 0);

    public bool Has(Place row, Place depth) => true;

    public long Index(Place row, Place depth) => row.Offset + depth.Offset;

    public float Load(Place row, Place depth) => Values[Index(row, depth)];

    public F4 LoadFour(Place row, Place depth) => Values.Cast<F4>()[Index(row, depth) >> 2];
}

/// <summary>An operand with rows and depth exchanged.</summary>
internal readonly record struct Transposed<TOperand>(TOperand Inner) : IOperand where TOperand : struct, IOperand
{
    public static bool RowsAdjacent => !TOperand.RowsAdjacent;

    public Place Row(int row) => Inner.Depth(row);

    public Place Depth(int depth) => Inner.Row(depth);

    public Place NextRow(Place row, int step) => Inner.NextDepth(row, step);

    public Place NextDepth(Place depth, int step) => Inner.NextRow(depth, step);

    public bool Has(Place row, Place depth) => Inner.Has(depth, row);

    public long Index(Place row, Place depth) => Inner.Index(depth, row);

    public ArrayView<float> Values => Inner.Values;

    public float Load(Place row, Place depth) => Inner.Load(depth, row);

    public F4 LoadFour(Place row, Place depth) => Inner.LoadFour(depth, row);
}
