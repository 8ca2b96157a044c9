using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The ILGPU path. One thread works out the two rectangles of a box, one the cells: it looks at every box of its image and keeps the
/// largest Gaussian of each class and, for the regression maps, the box that the CPU path would draw last: least area, then greatest
/// index. Nothing is sorted and no cell has two writers. A class out of range or offsets out of range, an error on the CPU, become
/// not-a-number in the weights and so in the loss.
/// </summary>
internal readonly unsafe partial record struct TtfTargets
{
    public void Run(GpuDevice device)
    {
        int batch = Heatmap.Shape[0], height = Heatmap.Shape[1], width = Heatmap.Shape[2], total = Boxes.Shape[0];
        using var scratch = new GpuRecords<Footprint>(device, total, nameof(TtfTargets));
        var footprints = scratch.View;
        device.LaunchFor(FootprintKernel, total, new BoxArguments(
            device.F32(Boxes), device.I32(Classes), footprints, height, width, Heatmap.Shape[3], Stride, Alpha, Beta));
        device.Fill(Heatmap, 0);
        device.LaunchFor(CellKernel, (long)batch * height * width, new CellArguments(
            device.F32(Boxes), device.I32(Classes), device.I32(Offsets), footprints, device.F32(Heatmap), device.F32(BoxTarget), device.F32(Weight),
            total, height, width, Heatmap.Shape[3]));
    }

    /// <summary>A Gaussian around a cell, on |dx| ≤ RadiusX, |dy| ≤ RadiusY.</summary>
    internal readonly record struct Bump(int CentreX, int CentreY, int RadiusX, int RadiusY)
    {
        public bool Covers(int x, int y)
        {
            int dx = x - CentreX, dy = y - CentreY;
            return dx <= RadiusX && -dx <= RadiusX && dy <= RadiusY && -dy <= RadiusY;
        }

        public float At(int x, int y) => GpuMath.Exp(Exponent(x - CentreX, RadiusX) + Exponent(y - CentreY, RadiusY));

        /// <summary>−d²/2σ² with σ = (2r+1)/6, rounded once.</summary>
        public static float Exponent(int d, int radius) => -18f * d * d / ((2f * radius + 1) * (2f * radius + 1));
    }

    /// <summary>What one box draws. Share is ln(area)/ΣG over the cells inside the map.</summary>
    internal readonly record struct Footprint(Bump Heat, Bump Region, float Area, float Share);

    internal readonly record struct BoxArguments(
        ArrayView<float> Boxes, ArrayView<int> Classes, ArrayView<Footprint> Footprints, int Height, int Width, int ClassCount, int Stride,
        float Alpha, float Beta);

    private static void FootprintKernel(BoxArguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i >= a.Footprints.Length)
            return;
        float x1 = a.Boxes[4 * i], y1 = a.Boxes[4 * i + 1], x2 = a.Boxes[4 * i + 2], y2 = a.Boxes[4 * i + 3];
        float width = Extent(x1, x2, a.Stride, a.Width), height = Extent(y1, y2, a.Stride, a.Height);
        int centreX = (int)((x1 + x2) / 2 / a.Stride), centreY = (int)((y1 + y2) / 2 / a.Stride);
        var heat = BumpOf(centreX, centreY, width, height, a.Alpha);
        var region = BumpOf(centreX, centreY, width, height, a.Beta);
        float area = (x2 - x1 + 1) * (y2 - y1 + 1);
        float sum = Sum(centreX, region.RadiusX, a.Width) * Sum(centreY, region.RadiusY, a.Height);
        int category = a.Classes[i];
        bool known = category >= 0 && category < a.ClassCount;
        a.Footprints[i] = new Footprint(heat, region, area, known ? GpuMath.Log(area) / sum : float.NaN);
    }

    private static float Extent(float low, float high, int stride, int cells)
    {
        float limit = cells - 1;
        return Math.Max(0, Math.Min(limit, high / stride)) - Math.Max(0, Math.Min(limit, low / stride));
    }

    private static Bump BumpOf(int centreX, int centreY, float width, float height, float ratio) =>
        new(centreX, centreY, (int)(width / 2 * ratio), (int)(height / 2 * ratio));

    /// <summary>One factor of ΣG: over the columns, or the rows, inside the map.</summary>
    private static float Sum(int centre, int radius, int cells)
    {
        double sum = 0;
        int last = Math.Min(cells - 1, centre + radius);
        for (int i = Math.Max(0, centre - radius); i <= last; i++)
            sum += GpuMath.Exp(Bump.Exponent(i - centre, radius));
        return (float)sum;
    }

    internal readonly record struct CellArguments(
        ArrayView<float> Boxes, ArrayView<int> Classes, ArrayView<int> Offsets, ArrayView<Footprint> Footprints,
        ArrayView<float> Heatmap, ArrayView<float> BoxTarget, ArrayView<float> Weight, int Total, int Height, int Width, int ClassCount);

    private static void CellKernel(CellArguments a)
    {
        long cell = Grid.GlobalLinearIndex;
        if (cell >= a.Weight.Length)
            return;
        int x = (int)(cell % a.Width), y = (int)(cell / a.Width % a.Height), image = (int)(cell / ((long)a.Width * a.Height));
        int from = a.Offsets[image], to = a.Offsets[image + 1], best = -1;
        bool valid = from >= 0 && to >= from && to <= a.Total;
        if (!valid)
            to = from;
        float least = 0, share = 0, weight = 0;
        for (int i = from; i < to; i++)
        {
            var box = a.Footprints[i];
            int category = a.Classes[i];
            if (category >= 0 && category < a.ClassCount && box.Heat.Covers(x, y))
            {
                long at = cell * a.ClassCount + category;
                a.Heatmap[at] = Math.Max(a.Heatmap[at], box.Heat.At(x, y));
            }
            if (box.Region.Covers(x, y) && (best < 0 || box.Area <= least))
            {
                best = i;
                least = box.Area;
                share = box.Share;
                weight = box.Region.At(x, y);
            }
        }
        a.Weight[cell] = valid ? share * weight : float.NaN;
        for (int side = 0; side < 4; side++)
            a.BoxTarget[4 * cell + side] = best < 0 ? 0 : a.Boxes[4L * best + side];
    }
}
