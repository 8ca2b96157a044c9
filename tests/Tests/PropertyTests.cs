using CsCheck;
using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Laws that hold for any input; a failure prints the smallest one found and its seed.</summary>
public sealed class PropertyTests
{
    private static readonly Gen<PixelBox> Boxes =
        from x in Gen.Float[0, 60]
        from y in Gen.Float[0, 60]
        from w in Gen.Float[0, 39]
        from h in Gen.Float[0, 39]
        select new PixelBox(x, y, x + w, y + h, 0);

    private static readonly Gen<(int Height, int Width, bool[] Pixels)> Masks =
        from height in Gen.Int[1, 12]
        from width in Gen.Int[1, 12]
        from pixels in Gen.Bool.Array[height * width]
        select (height, width, pixels);

    [Fact]
    public void ARunLengthMaskComesBackFromItsString() => Masks.Sample(m =>
    {
        var mask = Encode(m.Height, m.Width, m.Pixels);
        var back = Rle.Parse(mask.ToString(), m.Height, m.Width);
        return back.Counts.SequenceEqual(mask.Counts) && mask.Area == m.Pixels.Count(p => p);
    });

    [Fact]
    public void AMirroredBoxComesBack() => Boxes.Sample(box =>
    {
        var back = box.Mirror(100).Mirror(100);
        return Math.Abs(back.X1 - box.X1) < 1e-4 && Math.Abs(back.X2 - box.X2) < 1e-4 && back.Y1 == box.Y1;
    });

    [Fact]
    public void ASizeClassHoldsTheRequestAndWastesAtMostAQuarter() => Gen.Long[1, 1L << 40].Sample(bytes =>
    {
        long size = MemoryPool.SizeClass(bytes);
        return size >= bytes && MemoryPool.SizeClass(size) == size && size <= Math.Max(bytes + 63, bytes * 5 / 4 + 1);
    });

    [Fact]
    public void CounterRandomStaysInItsRange() => Gen.Select(Gen.ULong, Gen.ULong, Gen.Int[1, int.MaxValue]).Sample((seed, draw, count) =>
    {
        var random = new CounterRandom(seed).At(draw);
        return random.Uniform() is >= 0 and < 1 && random.Int(count) >= 0 && random.Int(count) < count && double.IsFinite(random.Normal());
    });

    [Fact]
    public void NmsKeepsABoxOverEveryOneItDrops()
    {
        using var device = new CpuDevice(1);
        Gen.Select(Boxes.Array[1, 40], Gen.Float[0.2f, 0.8f]).Sample((boxes, threshold) =>
        {
            var keep = Suppress(device, boxes, threshold);
            return Enumerable.Range(0, boxes.Length).Except(keep)
                .All(dropped => keep.Any(k => k < dropped && Overlap(boxes[k], boxes[dropped]) > threshold - 1e-5))
                && keep.All(k => keep.All(other => other >= k || Overlap(boxes[k], boxes[other]) <= threshold + 1e-5));
        }, iter: 300, threads: 1);
    }

    /// <summary>Scores fall with the index, so that the order of preference is the order of the boxes.</summary>
    private static int[] Suppress(CpuDevice device, PixelBox[] boxes, float threshold)
    {
        int count = boxes.Length;
        TensorView corners = device.Rent(new Shape(count, 4), DType.F32, "test"), scores = device.Rent(new Shape(count), DType.F32, "test");
        TensorView keep = device.Rent(new Shape(count), DType.I32, "test"), kept = device.Rent(new Shape(1), DType.I32, "test");
        device.Upload<float>(boxes.SelectMany(b => new[] { b.X1, b.Y1, b.X2, b.Y2 }).ToArray(), corners);
        device.Upload<float>([.. Enumerable.Range(0, count).Select(i => 1 - i / 100f)], scores);
        device.Run(new Nms(corners, scores, keep, kept, threshold));
        int[] result = keep.AsInts()[..kept.AsInts()[0]].ToArray();
        foreach (var view in new[] { corners, scores, keep, kept })
            device.Return(view);
        return result;
    }

    private static double Overlap(PixelBox a, PixelBox b)
    {
        double width = Math.Max(0, Math.Min(a.X2, b.X2) - Math.Max(a.X1, b.X1)), height = Math.Max(0, Math.Min(a.Y2, b.Y2) - Math.Max(a.Y1, b.Y1));
        double shared = width * height, all = Area(a) + Area(b) - shared;
        return all > 0 ? shared / all : 0;
    }

    private static double Area(PixelBox box) => (double)(box.X2 - box.X1) * (box.Y2 - box.Y1);

    private static Rle Encode(int height, int width, bool[] pixels)
    {
        var counts = new List<long> { 0 };
        bool current = false;
        for (int i = 0; i < pixels.Length; i++)
        {
            if (pixels[i] != current)
            {
                counts.Add(0);
                current = !current;
            }
            counts[^1]++;
        }
        return new Rle(height, width, counts);
    }
}
