using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>What TTFNet's two heads shall say about a batch.</summary>
/// <param name="Heatmap">(N,H,W,classes): a Gaussian at every object, exactly 1 at its centre.</param>
/// <param name="Boxes">(N,H,W,4): the box a cell answers for, in input pixels.</param>
/// <param name="Weights">(N,H,W): zero where a cell answers for none.</param>
/// <param name="Normalizers">The number of peaks of the heatmap and the sum of the weights.</param>
internal sealed record TtfGoal(Tensor Heatmap, Tensor Boxes, Tensor Weights, Tensor Normalizers) : LossGoal(Normalizers)
{
    /// <param name="scope">Owns the maps.</param>
    /// <param name="logits">Shape of the heatmap.</param>
    /// <param name="targets">One entry an image.</param>
    /// <param name="stride">Input pixels per cell.</param>
    /// <param name="alpha">Radius of the Gaussian as a share of half the box.</param>
    public static TtfGoal Encode(StepScope scope, Shape logits, Targets targets, int stride, float alpha)
    {
        int batch = logits[0], height = logits[1], width = logits[2];
        var offsets = Offsets(targets, batch);
        var boxes = Upload(scope, targets.Boxes.SelectMany(b => b).ToArray(), new Shape(offsets[batch], 4), DType.F32);
        var classes = Upload(scope, targets.Classes.SelectMany(c => c).ToArray(), new Shape(offsets[batch]), DType.I32);
        var ends = Upload(scope, offsets, new Shape(batch + 1), DType.I32);
        var goal = new TtfGoal(
            scope.Rent(logits, nameof(TtfGoal)),
            scope.Rent(new Shape(batch, height, width, 4), nameof(TtfGoal)),
            scope.Rent(new Shape(batch, height, width), nameof(TtfGoal)),
            scope.Rent(new Shape(2), nameof(TtfGoal)));
        scope.Device.Run(new TtfTargets(boxes.View, classes.View, ends.View, goal.Heatmap.View, goal.Boxes.View, goal.Weights.View,
            alpha, alpha, stride));
        var (peaks, weight) = Split(goal.Normalizers.View);
        scope.Device.Run(new HeatmapPositives(goal.Heatmap.View, peaks));
        scope.Device.Run(new WeightTotal(goal.Weights.View, weight));
        return goal;
    }

    /// <summary>The maps and the whole batch's normalizers as tensors of the scope that computes the loss.</summary>
    public (Tensor Heatmap, Tensor Boxes, Tensor Weights, (Tensor Peaks, Tensor Weight) Totals) In(StepScope scope, TensorView normalizers)
    {
        var (peaks, weight) = Split(normalizers);
        return (Borrow(Heatmap.View), Borrow(Boxes.View), Borrow(Weights.View), (Borrow(peaks), Borrow(weight)));

        Tensor Borrow(TensorView view) => scope.Borrow(view, nameof(TtfGoal));
    }

    private static (TensorView Peaks, TensorView Weight) Split(TensorView normalizers) =>
        (normalizers.Slice(0, new Shape(1)), normalizers.Slice(1, new Shape(1)));

    private static Tensor Upload<T>(StepScope scope, T[] values, Shape shape, DType type) where T : unmanaged =>
        scope.Upload<T>(values, shape, nameof(TtfGoal), type);

    /// <summary>Objects of image n are [offsets[n], offsets[n + 1]).</summary>
    private static int[] Offsets(Targets targets, int batch)
    {
        if (targets.Boxes.Length != batch || targets.Classes.Length != batch)
            throw new TensorException(
                $"{nameof(TtfGoal)}: targets expect one entry for each of {batch} images but have boxes of {targets.Boxes.Length} and classes of {targets.Classes.Length}");
        var offsets = new int[batch + 1];
        for (int i = 0; i < batch; i++)
        {
            int objects = targets.Classes[i].Length;
            if (targets.Boxes[i].Length != 4 * objects)
                throw new TensorException($"{nameof(TtfGoal)}: image {i} has {objects} classes, so boxes expects {4 * objects} numbers but has {targets.Boxes[i].Length}");
            offsets[i + 1] = offsets[i] + objects;
        }
        return offsets;
    }
}
