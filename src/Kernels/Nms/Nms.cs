using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Greedy non-maximum suppression: boxes by descending score (ties: smaller index first); a box is kept unless a kept box
/// of its class overlaps it with IoU &gt; threshold. IoU = I/(A + B − I); 0/0 suppresses nothing.
/// Works in blocks of sorted boxes: a block decides its own survivors in order, then these strike out everything behind
/// the block, lanes and threads over the struck boxes. Sorted corners, areas and classes lie in planes.
/// </summary>
/// <param name="Boxes">f32[N, 4]: x1,y1,x2,y2.</param>
/// <param name="Scores">f32[N].</param>
/// <param name="Keep">i32[N], written: indices of kept boxes by descending score, then −1.</param>
/// <param name="Count">i32[1], written: number of kept boxes.</param>
/// <param name="Threshold">Largest IoU two kept boxes may have.</param>
/// <param name="Classes">Optional i32[N] below 2²⁴: boxes of different classes never suppress each other.</param>
/// <param name="Offset">0: width is x2−x1; 1: width is x2−x1+1.</param>
internal readonly unsafe partial record struct Nms(
    TensorView Boxes, TensorView Scores, TensorView Keep, TensorView Count, float Threshold,
    TensorView Classes = default, float Offset = 0) : IKernel, ISimdBody
{
    private const int Block = 256, Chunk = 512, Planes = 7;

    public Cost Cost => new(8.0 * Boxes.Shape[0] * Boxes.Shape[0], Boxes.Bytes + Scores.Bytes + Classes.Bytes + Keep.Bytes);

    public void Validate()
    {
        const string operation = nameof(Nms);
        Check.Rank(operation, "boxes", Boxes, 2);
        Check.That(Boxes.Shape[1] == 4, operation, "boxes", "f32[N, 4]", Boxes);
        var boxes = new Shape(Boxes.Shape[0]);
        Check.Shape(operation, "scores", Scores, boxes);
        Check.Shape(operation, "keep", Keep, boxes, DType.I32);
        Check.Shape(operation, "count", Count, new Shape(1), DType.I32);
        Check.Optional(operation, "classes", Classes, boxes, DType.I32);
        Check.That(!float.IsNaN(Threshold), operation, "threshold", "a number", Threshold);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        int count = Boxes.Shape[0];
        // Whole vectors may run past the last box; their lanes hold zeros, which nobody reads.
        int plane = (count + 31) / 16 * 16;
        using var keys = new Scratch(device, new Shape(count, 2), DType.I32, nameof(Nms));
        using var planes = new Scratch(device, new Shape(Planes, plane), DType.F32, nameof(Nms));
        device.Fill(planes, 0);
        var body = new Body<TVector> { Plane = planes.F32, Stride = plane, Length = count, Threshold = Threshold, Offset = Offset };
        var sorted = new Span<ulong>(keys.I32, count);
        Sort(sorted, planes.F32, plane);

        int kept = 0;
        for (int start = 0; start < count; start += Block)
        {
            body.Start = body.Survivors = start;
            body.End = Math.Min(count, start + Block);
            for (int i = start; i < body.End; i++)
            {
                if (body.Struck(i))
                    continue;
                Keep.I32[kept++] = SortKey.Index(sorted[i]);
                body.Move(i, body.Survivors);
                body.Strike(body.Survivors, ++body.Survivors, i + 1, body.End);
            }
            device.Team.For((count - body.End + Chunk - 1) / Chunk, body, grain: 2);
        }
        Keep.AsInts()[kept..].Fill(-1);
        *Count.I32 = kept;
    }

    private void Sort(Span<ulong> keys, float* planes, int stride)
    {
        for (int i = 0; i < keys.Length; i++)
            keys[i] = SortKey.Descending(Scores.F32[i], i);
        keys.Sort();
        for (int i = 0; i < keys.Length; i++)
        {
            int index = SortKey.Index(keys[i]);
            float* box = Boxes.F32 + 4L * index;
            for (int side = 0; side < 4; side++)
                planes[side * stride + i] = box[side];
            planes[4 * stride + i] = (box[2] - box[0] + Offset) * (box[3] - box[1] + Offset);
            planes[5 * stride + i] = Classes.IsNone ? 0 : Classes.I32[index];
        }
    }

    private struct Body<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        /// <summary>Planes x1, y1, x2, y2, area, class, struck (1 or 0).</summary>
        public float* Plane;
        public int Stride, Length, Start, Survivors, End;
        public float Threshold, Offset;

        public readonly bool Struck(int i) => Plane[6 * Stride + i] != 0;

        public readonly void Invoke(int start, int end, int worker) =>
            Strike(Start, Survivors, End + start * Chunk, Math.Min(Length, End + end * Chunk));

        /// <summary>Survivors gather at the front of their block, over boxes already decided.</summary>
        public readonly void Move(int from, int to)
        {
            for (int plane = 0; plane < 6; plane++)
                Plane[plane * Stride + to] = Plane[plane * Stride + from];
        }

        /// <summary>
        /// Survivors [by, byEnd) strike boxes [from, to) and, in the last vector, some behind: those are judged by
        /// the same rule, only earlier, or lie past the last box.
        /// </summary>
        [MethodImpl(HotLoop.Options)]
        public readonly void Strike(int by, int byEnd, int from, int to)
        {
            float* x1 = Plane, y1 = x1 + Stride, x2 = y1 + Stride, y2 = x2 + Stride, area = y2 + Stride, category = area + Stride;
            float* struck = category + Stride;
            TVector zero = TVector.Zero, one = TVector.Create(1), offset = TVector.Create(Offset), threshold = TVector.Create(Threshold);
            for (int j = from; j < to; j += TVector.Count)
            {
                TVector left = TVector.Load(x1 + j), top = TVector.Load(y1 + j), right = TVector.Load(x2 + j), bottom = TVector.Load(y2 + j);
                TVector size = TVector.Load(area + j), kind = TVector.Load(category + j), gone = TVector.Zero;
                for (int i = by; i < byEnd; i++)
                {
                    var width = Smaller(right, TVector.Create(x2[i])) - Larger(left, TVector.Create(x1[i])) + offset;
                    var height = Smaller(bottom, TVector.Create(y2[i])) - Larger(top, TVector.Create(y1[i])) + offset;
                    var shared = TVector.And(TVector.Greater(width, zero), width) * TVector.And(TVector.Greater(height, zero), height);
                    var iou = shared / (TVector.Create(area[i]) + size - shared);
                    var hit = TVector.And(TVector.Greater(iou, threshold), TVector.Equal(kind, TVector.Create(category[i])));
                    gone = Larger(gone, TVector.And(hit, one));
                }
                TVector.Store(Larger(gone, TVector.Load(struck + j)), struck + j);
            }
        }

        // A box with a coordinate that is not a number has such an area too, so its IoU hits nothing whatever these give.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static TVector Smaller(TVector a, TVector b) => TVector.Select(TVector.Greater(a, b), b, a);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static TVector Larger(TVector a, TVector b) => TVector.Select(TVector.Greater(b, a), b, a);
    }
}
