using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>Sizes of a product; A and B of the next group begin GroupA and GroupB floats on. Depth is cut into splits of SplitDepth.</summary>
internal readonly record struct ProductShape(int Rows, int Columns, int Depth, int Groups = 1, long GroupA = 0, long GroupB = 0)
{
    public int Splits { get; init; } = 1;

    public int SplitDepth { get; init; } = Depth;

    public long Elements => (long)Rows * Columns * Groups;
}

internal readonly record struct ProductArguments<TA, TB>(TA A, TB B, ProductShape Shape, ProductTarget Target)
    where TA : struct, IOperand where TB : struct, IOperand;

/// <summary>
/// target[row, column] = act(bias[column] + Σ_depth A(row, depth) · B(column, depth)) for each group: convolutions, their gradients and matrix
/// products on a GPU. Candidates, the first that fits: tiles on tensor cores, of 128 or 64 rows and columns, where <see cref="ProductSides"/> allows;
/// shared-memory tiles filled by 128-bit loads; the same filled by single loads; one thread an element, for groups too narrow for a tile. Few elements over a great depth leave most of a GPU
/// idle, so the depth is cut into splits whose partial results are added in order; their number follows from the shape alone.
/// </summary>
internal static class GpuProduct
{
    private const int NarrowColumns = 8, LeastSplitDepth = 256, MaxSplits = 64, DepthStep = 32;

    /// <param name="device">The device.</param>
    /// <param name="a">Left-hand side.</param>
    /// <param name="b">Right-hand side.</param>
    /// <param name="shape">Sizes.</param>
    /// <param name="target">Where the product goes.</param>
    /// <param name="access">How both sides may be read.</param>
    /// <param name="owner">The operation, for the pool.</param>
    public static void Run<TA, TB>(GpuDevice device, TA a, TB b, ProductShape shape, ProductTarget target, ProductAccess access, string owner)
        where TA : struct, IOperand where TB : struct, IOperand => Run(device, a, b, shape, target, access, owner, null);

    /// <summary>The same for several groups, which may be too narrow for tiles. Tensor cores that finish a product of one group at once also give mean and variance of its columns.</summary>
    /// <returns>Whether mean and variance, if they are wanted, are measured.</returns>
    public static bool RunGroups<TA, TB>(
        GpuDevice device, TA a, TB b, ProductShape shape, ProductTarget target, ProductAccess access, string owner, TensorView mean = default, TensorView variance = default)
        where TA : struct, IOperand where TB : struct, IOperand => Run(device, a, b, shape, target, access, owner, Plain, mean, variance);

    /// <summary>Into how many splits the depth of a product may be cut.</summary>
    public static int MostSplits(ProductShape shape) => Math.Clamp(shape.Depth / LeastSplitDepth, 1, MaxSplits);

    private static bool Run<TA, TB>(
        GpuDevice device, TA a, TB b, ProductShape shape, ProductTarget target, ProductAccess access, string owner, Action<ProductArguments<TA, TB>>? plain,
        TensorView mean = default, TensorView variance = default)
        where TA : struct, IOperand where TB : struct, IOperand
    {
        if (shape.Elements == 0)
            return false;
        bool narrow = plain is not null && access < ProductAccess.Tf32 && shape.Groups > 1 && (shape.Rows < NarrowColumns || shape.Columns < NarrowColumns);
        var way = narrow ? ProductWay<TA, TB>.EachElement(plain!) : ProductWay<TA, TB>.Of(access, shape, device.Tiles);
        device.Note(way.Name);
        long groups = way.Groups(shape);
        int splits = (int)Math.Clamp(way.Busy / groups, 1, MostSplits(shape));
        int splitDepth = ((shape.Depth + splits - 1) / splits + DepthStep - 1) / DepthStep * DepthStep;
        splits = Math.Max(1, (shape.Depth + splitDepth - 1) / Math.Max(1, splitDepth));
        shape = shape with { Splits = splits, SplitDepth = splitDepth };
        if (splits == 1 && access >= ProductAccess.Tf32 && shape.Groups == 1 && !mean.IsNone)
        {
            using var parts = new GpuRecords<F2>(device, (long)ColumnMoments.Count(shape, way.Size) * shape.Columns, owner);
            device.Launch(way.Kernel, groups, way.Threads, new ProductArguments<TA, TB>(a, b, shape, target with { Measures = 1, Parts = parts.View }));
            new ColumnMoments(parts.View, device.F32(mean), device.F32(variance), shape.Rows, shape.Columns, way.Size / 2).Merge(device);
            return true;
        }
        if (splits == 1)
        {
            device.Launch(way.Kernel, groups, way.Threads, new ProductArguments<TA, TB>(a, b, shape, target));
            return false;
        }
        var partials = device.Rent(new Shape(splits, checked((int)shape.Elements)), DType.F32, owner);
        var partial = ProductTarget.Matrix(device.F32(partials), shape.Columns, (long)shape.Rows * shape.Columns) with { Split = shape.Elements, Wide = shape.Columns % 4 == 0 ? 1 : 0 };
        device.Launch(way.Kernel, way.Groups(shape), way.Threads, new ProductArguments<TA, TB>(a, b, shape, partial));
        device.LaunchFor(Combine, shape.Elements, new CombineArguments(device.F32(partials), shape, target));
        device.Return(partials);
        return false;
    }

    /// <summary>One thread an element; neighbours are neighbouring groups, which is where channels lie side by side.</summary>
    private static void Plain<TA, TB>(ProductArguments<TA, TB> arguments) where TA : struct, IOperand where TB : struct, IOperand
    {
        var shape = arguments.Shape;
        long i = Grid.GlobalLinearIndex;
        if (i >= shape.Elements * shape.Splits)
            return;
        long rest = i / shape.Groups;
        int group = (int)(i - rest * shape.Groups);
        long line = rest / shape.Columns;
        int column = (int)(rest - line * shape.Columns), split = (int)(line / shape.Rows), row = (int)(line - (long)split * shape.Rows);
        Place a = arguments.A.Row(row).Moved(group * shape.GroupA), b = arguments.B.Row(column).Moved(group * shape.GroupB);
        int last = Math.Min((split + 1) * shape.SplitDepth, shape.Depth);
        float sum = 0;
        for (int depth = split * shape.SplitDepth; depth < last; depth++)
            sum += arguments.A.Load(a, arguments.A.Depth(depth)) * arguments.B.Load(b, arguments.B.Depth(depth));
        arguments.Target.Store(arguments.Target.Row(split, group, row), column, group * shape.Columns + column, sum);
    }

    internal readonly record struct CombineArguments(ArrayView<float> Partials, ProductShape Shape, ProductTarget Target);

    private static void Combine(CombineArguments arguments)
    {
        var shape = arguments.Shape;
        long i = Grid.GlobalLinearIndex;
        if (i >= shape.Elements)
            return;
        float sum = arguments.Partials[i];
        for (int split = 1; split < shape.Splits; split++)
            sum += arguments.Partials[split * shape.Elements + i];
        long line = i / shape.Columns;
        int column = (int)(i - line * shape.Columns), group = (int)(line / shape.Rows), row = (int)(line - (long)group * shape.Rows);
        arguments.Target.Store(arguments.Target.Row(0, group, row), column, group * shape.Columns + column, sum);
    }
}
