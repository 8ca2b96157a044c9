namespace CudaKernels.Detection;

/// <summary>A data set that has been read and checked: an ordered list of pictures with their objects. Safe for many threads.</summary>
internal interface IDataset
{
    /// <summary>What to call it in messages, for example the path and the split.</summary>
    string Name { get; }

    /// <summary>Number of pictures, at least 1.</summary>
    int Count { get; }

    /// <summary>Class names; an object's class is an index into this list.</summary>
    IReadOnlyList<string> Classes { get; }

    /// <summary>The id of each class in the original files (COCO category ids may have gaps); used for written results.</summary>
    IReadOnlyList<long> CategoryIds { get; }

    /// <summary>Picture <paramref name="index"/>, 0 to Count - 1. The pixels are not read.</summary>
    Sample Read(int index);
}
