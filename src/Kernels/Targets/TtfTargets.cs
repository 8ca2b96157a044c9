using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// TTFNet's training targets, one image a task. For each box (x1,y1,x2,y2, widths x2−x1+1), largest area first:
///   feature box = box/stride clamped to the map; w, h its extents;  centre = trunc of the unclamped centre/stride
///   r_x = trunc(w/2·α), σ_x = (2r_x+1)/6 (y alike);  G(dx,dy) = exp(−dx²/2σ_x² − dy²/2σ_y²) on |dx| ≤ r_x, |dy| ≤ r_y
///   heatmap[class] = max(heatmap[class], G)
///   cells of the rectangle of β: box target = the box, weight = ln(area)·G_β/ΣG_β over the cells inside the map
/// so smaller boxes overwrite larger ones in the two regression maps. Boxes of equal area keep their order. The peak is exactly 1.
/// </summary>
/// <param name="Boxes">f32[total, 4] in pixels of the network input.</param>
/// <param name="Classes">i32[total].</param>
/// <param name="Offsets">i32[N+1]: boxes [Offsets[n], Offsets[n+1]) belong to image n.</param>
/// <param name="Heatmap">f32(N,H,W,C), written.</param>
/// <param name="BoxTarget">f32(N,H,W,4), written.</param>
/// <param name="Weight">f32(N,H,W), written.</param>
/// <param name="Alpha">Extent of the heatmap's Gaussian.</param>
/// <param name="Beta">Extent of the regression region.</param>
/// <param name="Stride">Input pixels per cell.</param>
internal readonly unsafe partial record struct TtfTargets(
    TensorView Boxes, TensorView Classes, TensorView Offsets, TensorView Heatmap, TensorView BoxTarget, TensorView Weight,
    float Alpha = 0.54f, float Beta = 0.54f, int Stride = 4) : IKernel
{
    public Cost Cost => new(Heatmap.Length, Boxes.Bytes + Heatmap.Bytes + BoxTarget.Bytes + Weight.Bytes);

    public void Validate()
    {
        const string operation = nameof(TtfTargets);
        Check.Rank(operation, "heatmap", Heatmap, 4);
        int batch = Heatmap.Shape[0], height = Heatmap.Shape[1], width = Heatmap.Shape[2];
        Check.Rank(operation, "boxes", Boxes, 2);
        Check.That(Boxes.Shape[1] == 4, operation, "boxes", "f32[total, 4]", Boxes);
        Check.Shape(operation, "classes", Classes, new Shape(Boxes.Shape[0]), DType.I32);
        Check.Shape(operation, "offsets", Offsets, new Shape(batch + 1), DType.I32);
        Check.Shape(operation, "box target", BoxTarget, new Shape(batch, height, width, 4));
        Check.Shape(operation, "weight", Weight, new Shape(batch, height, width));
        Check.That(Alpha >= 0 && Beta >= 0, operation, "alpha and beta", "zero or more", $"{Alpha} and {Beta}");
        Check.That(Stride > 0, operation, "stride", "a positive number", Stride);
    }

    public void Run(CpuDevice device)
    {
        int batch = Heatmap.Shape[0], height = Heatmap.Shape[1], width = Heatmap.Shape[2];
        using var order = new Scratch(device, new Shape(Boxes.Shape[0], 2), DType.I32, nameof(TtfTargets));
        using var curves = new Scratch(device, new Shape(batch, height + width, 2), DType.F32, nameof(TtfTargets));
        device.Team.For(batch, new Body
        {
            Boxes = Boxes.F32,
            Classes = Classes.I32,
            Offsets = Offsets.I32,
            Total = Boxes.Shape[0],
            Heatmap = Heatmap.F32,
            BoxTarget = BoxTarget.F32,
            Weight = Weight.F32,
            Height = height,
            Width = width,
            ClassCount = Heatmap.Shape[3],
            Alpha = Alpha,
            Beta = Beta,
            Stride = Stride,
            Order = (ulong*)order.I32,
            Curves = (double*)curves.F32,
        });
    }

    private struct Body : IRangeBody
    {
        public float* Boxes, Heatmap, BoxTarget, Weight;
        public int* Classes, Offsets;
        public ulong* Order;
        public double* Curves;
        public int Total, Height, Width, ClassCount, Stride;
        public float Alpha, Beta;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (int image = start; image < end; image++)
                Image(image);
        }

        private readonly void Image(int image)
        {
            long cells = (long)Height * Width;
            Clear(Heatmap + image * cells * ClassCount, cells * ClassCount);
            Clear(BoxTarget + image * cells * 4, cells * 4);
            Clear(Weight + image * cells, cells);

            int from = Offsets[image], to = Offsets[image + 1];
            if (from < 0 || to < from || to > Total)
                throw new KernelException($"{nameof(TtfTargets)}: offsets of image {image} expect a range within {Total} boxes but are [{from}, {to})");
            var order = new Span<ulong>(Order + from, to - from);
            for (int i = 0; i < order.Length; i++)
                order[i] = SortKey.Descending(Area(Boxes + 4L * (from + i)), i);
            order.Sort();
            foreach (ulong key in order)
                Draw(image, from + SortKey.Index(key));
        }

        private readonly void Draw(int image, int index)
        {
            float* box = Boxes + 4L * index;
            int category = Classes[index];
            if ((uint)category >= (uint)ClassCount)
                throw new KernelException($"{nameof(TtfTargets)}: class of box {index} expects a number below {ClassCount} but is {category}");
            float width = Extent(box[0], box[2], Width), height = Extent(box[1], box[3], Height);
            int centreX = (int)((box[0] + box[2]) / 2 / Stride), centreY = (int)((box[1] + box[3]) / 2 / Stride);
            long cells = (long)Height * Width;

            var heat = Rectangle(image, centreX, centreY, width, height, Alpha, out double* column, out double* row);
            float* plane = Heatmap + image * cells * ClassCount + category;
            for (int y = heat.Top; y <= heat.Bottom; y++)
                for (int x = heat.Left; x <= heat.Right; x++)
                {
                    float* cell = plane + ((long)y * Width + x) * ClassCount;
                    *cell = MathF.Max(*cell, (float)(row[y] * column[x]));
                }

            var region = Rectangle(image, centreX, centreY, width, height, Beta, out column, out row);
            double sum = 0;
            for (int y = region.Top; y <= region.Bottom; y++)
                for (int x = region.Left; x <= region.Right; x++)
                    sum += row[y] * column[x];
            double share = Math.Log(Area(box)) / sum;
            for (int y = region.Top; y <= region.Bottom; y++)
                for (int x = region.Left; x <= region.Right; x++)
                {
                    long cell = image * cells + (long)y * Width + x;
                    Weight[cell] = (float)(share * row[y] * column[x]);
                    for (int side = 0; side < 4; side++)
                        BoxTarget[4 * cell + side] = box[side];
                }
        }

        /// <summary>The cells of one Gaussian inside the map, and its two factors per column and per row of the map.</summary>
        private readonly (int Left, int Right, int Top, int Bottom) Rectangle(
            int image, int centreX, int centreY, float width, float height, float ratio, out double* column, out double* row)
        {
            int radiusX = (int)(width / 2 * ratio), radiusY = (int)(height / 2 * ratio);
            int left = Math.Max(0, centreX - radiusX), right = Math.Min(Width - 1, centreX + radiusX);
            int top = Math.Max(0, centreY - radiusY), bottom = Math.Min(Height - 1, centreY + radiusY);
            column = Curves + (long)image * (Width + Height);
            row = column + Width;
            Curve(column, left, right, centreX, radiusX);
            Curve(row, top, bottom, centreY, radiusY);
            return (left, right, top, bottom);
        }

        private static void Curve(double* to, int first, int last, int centre, int radius)
        {
            double sigma = (2 * radius + 1) / 6.0, scale = -1 / (2 * sigma * sigma);
            for (int i = first; i <= last; i++)
                to[i] = Math.Exp(scale * (i - centre) * (i - centre));
        }

        private readonly float Extent(float low, float high, int cells)
        {
            float limit = cells - 1;
            return Math.Clamp(high / Stride, 0, limit) - Math.Clamp(low / Stride, 0, limit);
        }

        private static float Area(float* box) => (box[2] - box[0] + 1) * (box[3] - box[1] + 1);

        private static void Clear(float* from, long count)
        {
            const int step = 1 << 28;
            for (long i = 0; i < count; i += step)
                new Span<float>(from + i, (int)Math.Min(step, count - i)).Clear();
        }
    }
}
