using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Convolution in which every channel is a group of its own (C = K = groups): no sum over channels, so nothing for a matrix
/// product; one lane a channel, and each value is loaded once a tap. Forward and input gradient are one loop, target[t] = Σ
/// source[s]·weight[tap]; they differ in which source position a tap of a target position means.
/// </summary>
internal static unsafe class Depthwise
{
    public static bool Fits(Conv2dShapes z) => z.GroupIn == 1 && z.GroupOut == 1;

    public static void Forward<TVector>(CpuDevice device, Conv2dShapes z, float* x, float* weight, float* scale, float* bias, float* residual, float* y, float factor, string owner)
        where TVector : unmanaged, ISimd<TVector> =>
        Gather<TVector>(device, z, weight, scale, owner, new()
        {
            Source = x,
            Target = y,
            Bias = bias,
            Factor = factor,
            Accumulate = residual != null,
            Addend = residual == null ? 0 : (nint)(residual - y),
            Batch = z.Batch,
            SourceHeight = z.Height,
            SourceWidth = z.Width,
            Height = z.OutHeight,
            Width = z.OutWidth,
            Scale = new(z.Window.StrideY, z.Window.StrideX),
            Divisor = new(1, 1),
            Offset = new(-z.Window.PadY, -z.Window.PadX),
            Dilation = new(z.Window.DilationY, z.Window.DilationX),
        });

    public static void InputGradient<TVector>(CpuDevice device, Conv2dShapes z, float* gradY, float* weight, float* bias, float* gradX, bool accumulate, string owner)
        where TVector : unmanaged, ISimd<TVector> =>
        Gather<TVector>(device, z, weight, null, owner, new()
        {
            Source = gradY,
            Target = gradX,
            Bias = bias,
            Factor = 1,
            Accumulate = accumulate,
            Batch = z.Batch,
            SourceHeight = z.OutHeight,
            SourceWidth = z.OutWidth,
            Height = z.Height,
            Width = z.Width,
            Scale = new(1, 1),
            Divisor = new(z.Window.StrideY, z.Window.StrideX),
            Offset = new(z.Window.PadY, z.Window.PadX),
            Dilation = new(-z.Window.DilationY, -z.Window.DilationX),
        });

    /// <summary>gradWeight[c, tap] (+)= Σ gradY[pixel, c] · x[pixel at tap, c]; a task is one tap, summed row by row.</summary>
    public static void WeightGradient<TVector>(CpuDevice device, Conv2dShapes z, float* x, float* gradY, float* gradWeight, bool accumulate)
        where TVector : unmanaged, ISimd<TVector>
    {
        device.Note("depthwise");
        device.Team.For(z.Window.Area, new WeightBody<TVector> { Shapes = z, X = x, GradY = gradY, GradWeight = gradWeight, Accumulate = accumulate });
    }

    private static void Gather<TVector>(CpuDevice device, Conv2dShapes z, float* weight, float* scale, string owner, GatherBody<TVector> body)
        where TVector : unmanaged, ISimd<TVector>
    {
        device.Note("depthwise");
        int channels = z.InChannels, area = z.Window.Area;
        using var byTap = new Scratch(device, new Shape(area, channels), DType.F32, owner);
        for (int c = 0; c < channels; c++)
            for (int tap = 0; tap < area; tap++)
                byTap.F32[tap * channels + c] = weight[c * area + tap] * (scale == null ? 1 : scale[c]);
        body.Weight = byTap.F32;
        body.Channels = channels;
        body.KernelHeight = z.Window.KernelHeight;
        body.KernelWidth = z.Window.KernelWidth;
        device.Team.For(body.Batch * body.Height, body);
    }

    private readonly record struct Pair(int Y, int X);

    /// <summary>One row of target pixels a task. Tap r of target row i is source row (i·Scale + Offset + r·Dilation) / Divisor, if whole.</summary>
    private struct GatherBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public float* Source, Weight, Bias, Target;
        public int Batch, Channels, SourceHeight, SourceWidth, Height, Width, KernelHeight, KernelWidth;
        public Pair Scale, Divisor, Offset, Dilation;
        public float Factor;
        public bool Accumulate;
        public nint Addend;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (int row = start; row < end; row++)
                for (int x = 0; x < Width; x++)
                {
                    int c = 0;
                    for (; c + TVector.Count <= Channels; c += TVector.Count)
                        Pixel<TVector>(row, x, c);
                    for (; c < Channels; c++)
                        Pixel<F32x1>(row, x, c);
                }
        }

        [MethodImpl(HotLoop.Options)]
        private readonly void Pixel<TLanes>(int row, int x, int channel) where TLanes : unmanaged, ISimd<TLanes>
        {
            float* source = Source + (nint)(row / Height) * SourceHeight * SourceWidth * Channels + channel;
            float* target = Target + ((nint)row * Width + x) * Channels + channel;
            int baseY = row % Height * Scale.Y + Offset.Y, baseX = x * Scale.X + Offset.X;
            var sum = Bias == null ? TLanes.Zero : TLanes.Load(Bias + channel);
            if (Accumulate)
                sum += TLanes.Load(target + Addend);
            for (int r = 0; r < KernelHeight; r++)
            {
                int sourceY = baseY + r * Dilation.Y;
                if (sourceY < 0 || sourceY % Divisor.Y != 0 || (sourceY /= Divisor.Y) >= SourceHeight)
                    continue;
                for (int s = 0; s < KernelWidth; s++)
                {
                    int sourceX = baseX + s * Dilation.X;
                    if (sourceX < 0 || sourceX % Divisor.X != 0 || (sourceX /= Divisor.X) >= SourceWidth)
                        continue;
                    TLanes.AddProduct(ref sum, TLanes.Load(source + ((nint)sourceY * SourceWidth + sourceX) * Channels),
                        TLanes.Load(Weight + (nint)(r * KernelWidth + s) * Channels + channel));
                }
            }
            TLanes.Store(Factor == 1 ? sum : Activation.Apply(sum, TLanes.Create(Factor)), target);
        }
    }

    private struct WeightBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Conv2dShapes Shapes;
        public float* X, GradY, GradWeight;
        public bool Accumulate;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (int tap = start; tap < end; tap++)
            {
                int c = 0;
                for (; c + TVector.Count <= Shapes.InChannels; c += TVector.Count)
                    Tap<TVector>(tap, c);
                for (; c < Shapes.InChannels; c++)
                    Tap<F32x1>(tap, c);
            }
        }

        [MethodImpl(HotLoop.Options)]
        [SkipLocalsInit]
        private readonly void Tap<TLanes>(int tap, int channel) where TLanes : unmanaged, ISimd<TLanes>
        {
            var z = Shapes;
            var w = z.Window;
            int offsetY = tap / w.KernelWidth * w.DilationY - w.PadY, offsetX = tap % w.KernelWidth * w.DilationX - w.PadX;
            var total = TLanes.Zero;
            for (int row = 0; row < z.Batch * z.OutHeight; row++)
            {
                int sourceY = row % z.OutHeight * w.StrideY + offsetY;
                if ((uint)sourceY >= (uint)z.Height)
                    continue;
                float* gradient = GradY + (nint)row * z.OutWidth * z.InChannels + channel;
                float* source = X + ((nint)(row / z.OutHeight) * z.Height + sourceY) * z.Width * z.InChannels + channel;
                var sum = TLanes.Zero;
                for (int q = 0; q < z.OutWidth; q++)
                {
                    int sourceX = q * w.StrideX + offsetX;
                    if ((uint)sourceX < (uint)z.Width)
                        TLanes.AddProduct(ref sum, TLanes.Load(gradient + (nint)q * z.InChannels), TLanes.Load(source + (nint)sourceX * z.InChannels));
                }
                total += sum;
            }
            float* lanes = stackalloc float[TLanes.Count];
            TLanes.Store(total, lanes);
            for (int i = 0; i < TLanes.Count; i++)
            {
                float* to = GradWeight + (nint)(channel + i) * w.Area + tap;
                *to = Accumulate ? *to + lanes[i] : lanes[i];
            }
        }
    }
}
