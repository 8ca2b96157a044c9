using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// The K best peaks of a heatmap. A cell is a peak of its class when it equals the maximum of its 3×3 neighbourhood (cells
/// outside the map do not count; a plateau keeps all its cells). The best K of each class and of those the best K are the
/// best K of all, ordered by score, then class, then cell. σ increases, so logits are compared and only the winners pay
/// for it; a map of probabilities would differ where float32 rounds two logits to one probability.
/// Bands of rows are searched independently, lanes over classes, each keeping its best K in a heap whose worst member is
/// the bar the next cell has to pass; then an image's bands are merged. Both steps select by a total order, so neither
/// bands nor threads can change the result.
/// </summary>
/// <param name="Logits">f32(N,H,W,C), H·W·C below 2³¹.</param>
/// <param name="Scores">f32(N,K), written: σ(logit), descending; 0 where the image has fewer peaks.</param>
/// <param name="Classes">i32(N,K), written; −1 where the image has fewer peaks.</param>
/// <param name="Cells">i32(N,K), written: row·W + column; −1 where the image has fewer peaks.</param>
/// <param name="K">Peaks an image.</param>
internal readonly unsafe partial record struct PeakTopK(TensorView Logits, TensorView Scores, TensorView Classes, TensorView Cells, int K) : IKernel, ISimdBody
{
    private const int BandRows = 8;

    public Cost Cost => new(2.0 * Logits.Length, Logits.Bytes + Scores.Bytes + Classes.Bytes + Cells.Bytes);

    public void Validate()
    {
        const string operation = nameof(PeakTopK);
        Check.Rank(operation, "logits", Logits, 4);
        Check.That(K > 0, operation, "k", "a positive number", K);
        var image = Logits.Shape;
        Check.That((long)image[1] * image[2] * image[3] < int.MaxValue, operation, "logits", "fewer than 2^31 elements an image", Logits);
        var found = new Shape(image[0], K);
        Check.Shape(operation, "scores", Scores, found);
        Check.Shape(operation, "classes", Classes, found, DType.I32);
        Check.Shape(operation, "cells", Cells, found, DType.I32);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        int batch = Logits.Shape[0], height = Logits.Shape[1], bands = (height + BandRows - 1) / BandRows;
        using var heaps = new Scratch(device, new Shape(batch * bands, K, 2), DType.I32, nameof(PeakTopK));
        device.Team.For(batch * bands, new SearchBand<TVector>
        {
            Map = Logits.F32,
            Height = height,
            Width = Logits.Shape[2],
            Classes = Logits.Shape[3],
            Bands = bands,
            Heaps = (ulong*)heaps.I32,
            K = K,
        });
        device.Team.For(batch, new MergeBands
        {
            Heaps = (ulong*)heaps.I32,
            Bands = bands,
            K = K,
            CellCount = height * Logits.Shape[2],
            Scores = Scores.F32,
            Classes = Classes.I32,
            Cells = Cells.I32,
        });
    }

    private struct SearchBand<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public float* Map;
        public ulong* Heaps;
        public int Height, Width, Classes, Bands, K;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (int task = start; task < end; task++)
            {
                var best = new BestKeys(Heaps + (long)task * K, K);
                int first = task % Bands * BandRows, last = Math.Min(Height, first + BandRows);
                for (int y = first; y < last; y++)
                    Row(Map + (long)(task / Bands) * Height * Width * Classes, y, ref best);
                best.Close();
            }
        }

        [MethodImpl(HotLoop.Options)]
        private readonly void Row(float* image, int y, ref BestKeys best)
        {
            float* lanes = stackalloc float[TVector.Count];
            for (int x = 0; x < Width; x++)
            {
                float* cell = image + ((long)y * Width + x) * Classes;
                int c = 0;
                if (!Reaches(cell, Classes, best.Bar))
                    c = Classes / TVector.Count * TVector.Count;
                for (; c <= Classes - TVector.Count; c += TVector.Count)
                {
                    if (!Reaches(cell + c, TVector.Count, best.Bar))
                        continue;
                    var logit = TVector.Load(cell + c);
                    var peak = TVector.Select(TVector.Equal(logit, Neighbourhood<TVector>(cell + c, x, y)), logit, TVector.Create(float.NegativeInfinity));
                    TVector.Store(peak, lanes);
                    for (int lane = 0; lane < TVector.Count; lane++)
                        Offer(lanes[lane], c + lane, x, y, ref best);
                }
                for (; c < Classes; c++)
                    if (cell[c] >= best.Bar && cell[c] == F32x1.Sum(Neighbourhood<F32x1>(cell + c, x, y)))
                        Offer(cell[c], c, x, y, ref best);
            }
        }

        /// <summary>Whether a whole vector among these classes holds a logit that may enter: the quick way past most cells.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static bool Reaches(float* from, int classes, float bar)
        {
            TVector count = TVector.Zero, limit = TVector.Create(bar), one = TVector.Create(1);
            for (int c = 0; c <= classes - TVector.Count; c += TVector.Count)
                count += TVector.And(TVector.GreaterOrEqual(TVector.Load(from + c), limit), one);
            return TVector.Sum(count) != 0;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Offer(float logit, int category, int x, int y, ref BestKeys best)
        {
            if (logit >= best.Bar && logit > float.NegativeInfinity)
                best.Add(SortKey.Descending(logit, category * (Height * Width) + y * Width + x));
        }

        /// <summary>Maximum over the cells around and at (x, y) that lie inside the map.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly TLanes Neighbourhood<TLanes>(float* centre, int x, int y) where TLanes : unmanaged, ISimd<TLanes>
        {
            var largest = TLanes.Load(centre);
            for (int dy = y == 0 ? 0 : -1; dy <= (y == Height - 1 ? 0 : 1); dy++)
                for (int dx = x == 0 ? 0 : -1; dx <= (x == Width - 1 ? 0 : 1); dx++)
                    largest = TLanes.Max(largest, TLanes.Load(centre + ((long)dy * Width + dx) * Classes));
            return largest;
        }
    }

    private struct MergeBands : IRangeBody
    {
        public ulong* Heaps;
        public float* Scores;
        public int* Classes, Cells;
        public int Bands, K, CellCount;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (int image = start; image < end; image++)
            {
                var keys = new Span<ulong>(Heaps + (long)image * Bands * K, Bands * K);
                keys.Sort();
                for (int k = 0; k < K; k++)
                {
                    long to = (long)image * K + k;
                    bool found = k < keys.Length && keys[k] != BestKeys.None;
                    int index = found ? SortKey.Index(keys[k]) : 0;
                    Scores[to] = found ? 1 / (1 + MathF.Exp(-SortKey.Value(keys[k]))) : 0;
                    Classes[to] = found ? index / CellCount : -1;
                    Cells[to] = found ? index % CellCount : -1;
                }
            }
        }
    }
}
