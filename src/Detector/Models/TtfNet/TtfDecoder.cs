using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// From TTFNet's maps to boxes: the best peaks of all classes, each with the box its cell predicts, cut to the input. A cell at
/// column i, row j stands for the point (i · stride, j · stride). Peaks replace non-maximum suppression of boxes.
/// </summary>
internal static class TtfDecoder
{
    private const int MaxDetections = 100;
    private const float LowestScore = 0.01f;

    /// <param name="logits">Heatmap (N,H,W,classes) before the sigmoid.</param>
    /// <param name="sizes">Distances left, top, right, bottom (N,H,W,4) in input pixels.</param>
    /// <param name="stride">Input pixels per cell.</param>
    public static RawDetection[][] Decode(Tensor logits, Tensor sizes, int stride)
    {
        int batch = logits.Shape[0], height = logits.Shape[1], width = logits.Shape[2];
        var (scope, device) = (logits.Scope, logits.Scope.Device);
        var found = new Shape(batch, MaxDetections);
        var scores = scope.Rent(found, nameof(TtfDecoder));
        var classes = scope.Rent(found, nameof(TtfDecoder), type: DType.I32);
        var cells = scope.Rent(found, nameof(TtfDecoder), type: DType.I32);
        device.Run(new PeakTopK(logits.View, scores.View, classes.View, cells.View, MaxDetections));

        var score = Read<float>(scores);
        var category = Read<int>(classes);
        var cell = Read<int>(cells);
        var sides = Read<float>(sizes);
        var results = new RawDetection[batch][];
        for (int image = 0; image < batch; image++)
        {
            var kept = new List<RawDetection>();
            for (int i = image * MaxDetections; i < (image + 1) * MaxDetections && score[i] > LowestScore; i++)
                kept.Add(BoxOf(image, i));
            results[image] = [.. kept];
        }
        return results;

        RawDetection BoxOf(int image, int i)
        {
            int x = cell[i] % width * stride, y = cell[i] / width * stride;
            float right = width * stride - 1, bottom = height * stride - 1;
            var side = sides.AsSpan(4 * (image * height * width + cell[i]), 4);
            return new(category[i], score[i],
                Math.Clamp(x - side[0], 0, right), Math.Clamp(y - side[1], 0, bottom),
                Math.Clamp(x + side[2], 0, right), Math.Clamp(y + side[3], 0, bottom));
        }
    }

    private static T[] Read<T>(Tensor tensor) where T : unmanaged
    {
        var values = new T[tensor.Shape.Length];
        tensor.Scope.Device.Download<T>(tensor.View, values);
        return values;
    }
}
