using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Softmax cross entropy of a row of C logits and a class t. With log p_c = x_c − max − ln Σ e^(x−max), class weights w and
/// label smoothing s:
///   L = −(1−s) w_t log p_t − s/C Σ_c w_c log p_c
///   ∂L/∂x_c = (1−s) w_t (p_c − [c=t]) + s/C (p_c Σw − w_c)
/// Rows whose class is the ignored index cost nothing. Loss = Scale/Normalizer · Σ Weight·L; the mean takes the normalizer of
/// <see cref="CrossEntropyTotal"/>. Lanes run over the classes of a row, threads over rows.
/// </summary>
/// <param name="Logits">f32[..., C].</param>
/// <param name="Target">i32[...], classes.</param>
/// <param name="Loss">f32[1], written.</param>
/// <param name="GradLogits">Optional, written.</param>
/// <param name="Elements">Optional, shape of the targets, written: Weight·L of every row, without scale.</param>
/// <param name="Weight">Optional, shape of the targets; also the upstream gradient of the elements.</param>
/// <param name="ClassWeight">Optional f32[C].</param>
/// <param name="Normalizer">Optional f32[1]; zero divides by one.</param>
/// <param name="IgnoreIndex">Class that marks a row as absent.</param>
/// <param name="LabelSmoothing">In [0,1].</param>
/// <param name="Scale">Weight of the loss.</param>
internal readonly unsafe partial record struct SoftmaxCrossEntropyLoss(
    TensorView Logits, TensorView Target, TensorView Loss, TensorView GradLogits = default, TensorView Elements = default,
    TensorView Weight = default, TensorView ClassWeight = default, TensorView Normalizer = default,
    int IgnoreIndex = -100, float LabelSmoothing = 0, float Scale = 1) : IKernel, ISimdBody
{
    private const int Chunk = 64;

    public Cost Cost => new(30.0 * Logits.Length, Logits.Bytes + Target.Bytes + GradLogits.Bytes);

    public void Validate()
    {
        const string operation = nameof(SoftmaxCrossEntropyLoss);
        Check.That(!Logits.IsNone && Logits.Type == DType.F32 && Logits.Shape.Rank > 0 && Logits.Shape.Channels > 0,
            operation, "logits", "f32[..., C] with C > 0", Logits);
        var rows = new Shape(Logits.Shape.ToArray()[..^1]);
        Check.Shape(operation, "target", Target, rows, DType.I32);
        Check.Optional(operation, "gradient", GradLogits, Logits.Shape);
        Check.Optional(operation, "elements", Elements, rows);
        Check.Optional(operation, "weight", Weight, rows);
        Check.Optional(operation, "class weight", ClassWeight, new Shape(Logits.Shape.Channels));
        Check.That(LabelSmoothing is >= 0 and <= 1, operation, "label smoothing", "a number in [0,1]", LabelSmoothing);
        LossCheck.Total(operation, Loss, Normalizer);
        Check.Apart(operation, "gradient", GradLogits, "logits", Logits);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        int chunks = (int)((Logits.Shape.Rows + Chunk - 1) / Chunk);
        float factor = LossCheck.Factor(Scale, Normalizer), weights = Logits.Shape.Channels;
        if (!ClassWeight.IsNone)
        {
            weights = 0;
            foreach (float weight in ClassWeight.AsFloats())
                weights += weight;
        }
        using var sums = new ChunkSums(device, chunks, nameof(SoftmaxCrossEntropyLoss));
        device.Team.For(chunks, new Body<TVector>
        {
            Logits = Logits.F32,
            Target = Target.I32,
            Gradient = GradLogits.F32,
            Elements = Elements.F32,
            Weight = Weight.F32,
            ClassWeight = ClassWeight.F32,
            Sums = sums.Values,
            Rows = Logits.Shape.Rows,
            Classes = Logits.Shape.Channels,
            Ignored = IgnoreIndex,
            Smoothing = LabelSmoothing,
            WeightOfClasses = weights,
            Factor = factor,
        });
        *Loss.F32 = (float)(sums.Total() * factor);
    }

    private struct Body<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public float* Logits, Gradient, Elements, Weight, ClassWeight;
        public int* Target;
        public double* Sums;
        public long Rows;
        public int Classes, Ignored;
        public float Smoothing, WeightOfClasses, Factor;

        [MethodImpl(HotLoop.Options)]
        public void Invoke(int start, int end, int worker)
        {
            for (int chunk = start; chunk < end; chunk++)
            {
                double sum = 0;
                long to = Math.Min(Rows, ((long)chunk + 1) * Chunk);
                for (long row = (long)chunk * Chunk; row < to; row++)
                    sum += Row(row);
                Sums[chunk] = sum;
            }
        }

        [MethodImpl(HotLoop.Options)]
        private float Row(long row)
        {
            float* x = Logits + row * Classes;
            float* gradient = Gradient == null ? null : Gradient + row * Classes;
            int target = Target[row];
            if (target == Ignored)
            {
                if (gradient != null)
                    new Span<float>(gradient, Classes).Clear();
                if (Elements != null)
                    Elements[row] = 0;
                return 0;
            }
            if ((uint)target >= (uint)Classes)
                throw new KernelException($"{nameof(SoftmaxCrossEntropyLoss)}: target {row} expects a class below {Classes} or {Ignored} but is {target}");

            float largest = Largest(x), sum = Exponentials(x, gradient, largest);
            float logarithm = MathF.Log(sum), weight = Weight == null ? 1 : Weight[row];
            float own = (1 - Smoothing) * (ClassWeight == null ? 1 : ClassWeight[target]), spread = Smoothing / Classes;
            float loss = own * (largest - x[target] + logarithm);
            if (spread > 0)
                for (int c = 0; c < Classes; c++)
                    loss += spread * (ClassWeight == null ? 1 : ClassWeight[c]) * (largest - x[c] + logarithm);
            loss *= weight;
            if (Elements != null)
                Elements[row] = loss;
            if (gradient != null)
            {
                float factor = weight * Factor;
                Scale(gradient, (own + spread * WeightOfClasses) * factor / sum, spread * factor);
                gradient[target] -= own * factor;
            }
            return loss;
        }

        private readonly float Largest(float* x)
        {
            float largest = x[0];
            int c = 0;
            if (Classes >= TVector.Count)
            {
                var lanes = TVector.Load(x);
                for (c = TVector.Count; c <= Classes - TVector.Count; c += TVector.Count)
                    lanes = TVector.Max(lanes, TVector.Load(x + c));
                largest = TVector.MaxOf(lanes);
            }
            for (; c < Classes; c++)
                largest = MathF.Max(largest, x[c]);
            return largest;
        }

        /// <summary>Σ e^(x−largest); the terms stay in the gradient, where there is one.</summary>
        private readonly float Exponentials(float* x, float* gradient, float largest)
        {
            var lanes = TVector.Zero;
            var shift = TVector.Create(largest);
            int c = 0;
            for (; c <= Classes - TVector.Count; c += TVector.Count)
            {
                var term = TVector.Exp(TVector.Load(x + c) - shift);
                lanes += term;
                if (gradient != null)
                    TVector.Store(term, gradient + c);
            }
            float sum = TVector.Sum(lanes);
            for (; c < Classes; c++)
            {
                float term = MathF.Exp(x[c] - largest);
                sum += term;
                if (gradient != null)
                    gradient[c] = term;
            }
            return sum;
        }

        /// <summary>gradient = factor·gradient − spread·w.</summary>
        private readonly void Scale(float* gradient, float factor, float spread)
        {
            int c = 0;
            for (; c <= Classes - TVector.Count; c += TVector.Count)
            {
                var weight = ClassWeight == null ? TVector.Create(1) : TVector.Load(ClassWeight + c);
                TVector.Store(TVector.Load(gradient + c) * TVector.Create(factor) - weight * TVector.Create(spread), gradient + c);
            }
            for (; c < Classes; c++)
                gradient[c] = gradient[c] * factor - (ClassWeight == null ? 1 : ClassWeight[c]) * spread;
        }
    }
}
