using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>From which size on a product is cut into tiles of 128 and not of 64 for tensor cores: large tiles read less, small ones keep more of a GPU busy.</summary>
/// <param name="LeastSide">Rows, and columns, a product must have.</param>
/// <param name="LeastTiles">Tiles of 128 it must have, those of all splits together.</param>
internal readonly record struct TileTable(int LeastSide, int LeastTiles)
{
    /// <summary>Three quarters of a tile's columns are used at least, and most of a large GPU's processors have one; not measured yet.</summary>
    public static TileTable Default => new(96, 96);

    public bool Large(ProductShape shape) =>
        Math.Min(shape.Rows, shape.Columns) >= LeastSide && ProductBlock.Count(shape, Tile128.Size) * GpuProduct.MostSplits(shape) >= LeastTiles;
}

/// <summary>One of the kernels that can compute a product of these operands.</summary>
/// <param name="Name">For the profiler.</param>
/// <param name="Size">Rows and columns of a tile.</param>
/// <param name="Threads">That compute a tile.</param>
/// <param name="Busy">Tiles that keep a large GPU busy: with fewer the depth is split.</param>
/// <param name="Kernel">The kernel.</param>
internal readonly record struct ProductWay<TA, TB>(string Name, int Size, int Threads, int Busy, Action<ProductArguments<TA, TB>> Kernel)
    where TA : struct, IOperand where TB : struct, IOperand
{
    private const int Many = 512, OneAProcessor = 128;

    /// <summary>Groups of threads that compute all splits; tiles of one element have a thread each.</summary>
    public long Groups(ProductShape shape) => Size == 1 ? (shape.Elements * shape.Splits + Threads - 1) / Threads : ProductBlock.Count(shape, Size) * shape.Splits;

    public static ProductWay<TA, TB> Of(ProductAccess access, ProductShape shape, TileTable table) => (access, table.Large(shape)) switch
    {
        (ProductAccess.Bf16, true) => TensorCores<Bf16, Tile128>(),
        (ProductAccess.Bf16, false) => TensorCores<Bf16, Tile64>(),
        (ProductAccess.Tf32, true) => TensorCores<Tf32, Tile128>(),
        (ProductAccess.Tf32, false) => TensorCores<Tf32, Tile64>(),
        (ProductAccess.Wide, _) => new("tiles", ProductTile.Size, ProductTile.Threads, Many, ProductTile.Kernel<TA, TB, ByFour>),
        _ => new("tiles, single loads", ProductTile.Size, ProductTile.Threads, Many, ProductTile.Kernel<TA, TB, ByOne>),
    };

    public static ProductWay<TA, TB> EachElement(Action<ProductArguments<TA, TB>> kernel) => new("one thread an element", 1, GpuDevice.GroupSize, Many, kernel);

    private static ProductWay<TA, TB> TensorCores<TNumber, TSize>() where TNumber : struct, ITensorNumber where TSize : struct, ITileSize =>
        new($"{typeof(TNumber).Name.ToLowerInvariant()} tensor cores, tiles of {TSize.Size}", TSize.Size, TensorTile.Threads<TSize>(), TSize.Size == Tile128.Size ? OneAProcessor : Many, TensorTile.Kernel<TA, TB, TNumber, TSize>);
}
