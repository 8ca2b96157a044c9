namespace CudaKernels.Kernels;

/// <summary>Which tile of a product a group of threads computes: its first row and column, in which group of channels and which split of the depth.</summary>
internal readonly record struct ProductBlock(int Row, int Column, int Group, int Split)
{
    /// <summary>How many tiles a product has in one split.</summary>
    public static long Count(ProductShape shape, int size) => (shape.Rows + size - 1L) / size * ((shape.Columns + size - 1) / size) * shape.Groups;

    public static ProductBlock At(ProductShape shape, int size, int index)
    {
        int columnTiles = (shape.Columns + size - 1) / size, rowTiles = (shape.Rows + size - 1) / size;
        int line = index / columnTiles, block = line / rowTiles, split = block / shape.Groups;
        return new((line - block * rowTiles) * size, (index - line * columnTiles) * size, block - split * shape.Groups, split);
    }
}
