using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels.Devices;

/// <summary>Width of the vectors a CPU kernel uses. Every width gives results within the same tolerance.</summary>
internal enum VectorWidth
{
    Scalar = 1,
    V128 = 4,
    V256 = 8,
    V512 = 16,
}

/// <summary>Work generic over the vector type; <see cref="CpuDevice.Dispatch"/> picks the type once per kernel.</summary>
internal interface ISimdBody
{
    void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>;
}

/// <summary>The processor: a fixed thread team, vectors of the widest supported (or the asked-for) width, host memory.</summary>
internal sealed unsafe class CpuDevice : Device
{
    private readonly Lock gate = new();

    public CpuDevice(int threads = 0, VectorWidth? width = null)
    {
        Team = new ThreadTeam(threads > 0 ? threads : Environment.ProcessorCount);
        Width = width ?? WidestSupported;
        Pool = new CpuMemoryPool(this);
    }

    public static VectorWidth WidestSupported =>
        Vector512.IsHardwareAccelerated ? VectorWidth.V512
        : Vector256.IsHardwareAccelerated ? VectorWidth.V256
        : Vector128.IsHardwareAccelerated ? VectorWidth.V128
        : VectorWidth.Scalar;

    public override string Name => "cpu";

    public override MemoryPool Pool { get; }

    public ThreadTeam Team { get; }

    public VectorWidth Width { get; }

    public override void Run<TKernel>(in TKernel kernel)
    {
        long start = Stopwatch.GetTimestamp();
        kernel.Validate();
        lock (gate)
        {
            using var _ = Occupy();
            Algorithm = null;
            kernel.Run(this);
            Profiler?.Add(typeof(TKernel).Name, Algorithm, Stopwatch.GetElapsedTime(start).TotalSeconds, kernel.Cost);
        }
    }

    /// <summary>Calls the body with the vector type of this device.</summary>
    public void Dispatch<TBody>(in TBody body) where TBody : struct, ISimdBody
    {
        switch (Width)
        {
            case VectorWidth.V512: body.Invoke<F32x16>(this); break;
            case VectorWidth.V256: body.Invoke<F32x8>(this); break;
            case VectorWidth.V128: body.Invoke<F32x4>(this); break;
            default: body.Invoke<F32x1>(this); break;
        }
    }

    public override void Fill(TensorView view, float value)
    {
        if (view.Type == DType.F32)
            new Span<float>(view.F32, checked((int)view.Length)).Fill(value);
        else if (value == 0)
            NativeMemory.Clear((byte*)view.Buffer.Address + view.Offset * view.Type.Size(), (nuint)view.Bytes);
        else
            throw new KernelException($"Fill: {view} takes only zero");
    }

    public override void Copy(TensorView from, TensorView to)
    {
        Check.Shape("Copy", "to", to, from.Shape, from.Type);
        NativeMemory.Copy(Address(from), Address(to), (nuint)from.Bytes);
    }

    public override void Upload<T>(ReadOnlySpan<T> from, TensorView to)
    {
        Check.That((long)from.Length * sizeof(T) == to.Bytes, "Upload", "source", $"{to.Bytes} bytes for {to}", (long)from.Length * sizeof(T));
        fixed (T* source = from)
            NativeMemory.Copy(source, Address(to), (nuint)to.Bytes);
    }

    public override void Download<T>(TensorView from, Span<T> to)
    {
        Check.That((long)to.Length * sizeof(T) == from.Bytes, "Download", "target", $"{from.Bytes} bytes for {from}", (long)to.Length * sizeof(T));
        fixed (T* target = to)
            NativeMemory.Copy(Address(from), target, (nuint)from.Bytes);
    }

    public override void Synchronize()
    {
    }

    public override void Dispose()
    {
        lock (gate)
        {
            Team.Dispose();
            Pool.Dispose();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void* Address(TensorView view) => (byte*)view.Buffer.Address + view.Offset * view.Type.Size();
}
