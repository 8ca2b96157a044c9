namespace CudaKernels.Detection;

/// <summary>What the outside needs to know of a model.</summary>
/// <param name="Name">Row of the <see cref="ModelCatalog"/>.</param>
/// <param name="Classes">Class names; the index is the class number.</param>
/// <param name="Stride">Input pixels per cell of the finest output map.</param>
/// <param name="InputMultiple">Height and width of the input must be multiples of it.</param>
/// <param name="PublishedRate">Learning rate of its published training.</param>
internal sealed record ModelInfo(string Name, IReadOnlyList<string> Classes, int Stride, int InputMultiple, PublishedRate PublishedRate)
{
    private const int LargestSide = 8192;

    /// <exception cref="DataException">The side of a square input does not suit the model.</exception>
    public void CheckImageSize(int imageSize)
    {
        if (imageSize < InputMultiple || imageSize > LargestSide || imageSize % InputMultiple != 0)
            throw new DataException($"model {Name}: imgsz expects a multiple of {InputMultiple} up to {LargestSide} but is {imageSize}");
    }
}
