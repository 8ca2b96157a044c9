using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// Page-locked host memory between the caller's and the device's: only from there does a driver copy while the host goes on. It has two
/// halves that take turns, so one is filled or emptied while the other is on its way. One instance serves one direction.
/// </summary>
internal sealed unsafe class Staging(Accelerator accelerator) : IDisposable
{
    private const int HalfBytes = 8 << 20, Alignment = 64;

    private readonly StreamEvent[] done = [StreamEvent.Create(accelerator), StreamEvent.Create(accelerator)];
    private byte* memory;
    private int half, used;

    /// <summary>Returns as soon as the values are in the staging memory; the stream brings them on.</summary>
    public void Upload<T>(ReadOnlySpan<T> from, ArrayView<byte> to, AcceleratorStream stream) where T : unmanaged
    {
        for (int at = 0; at < from.Length;)
        {
            int room = (HalfBytes - used) / sizeof(T);
            if (room == 0)
            {
                done[half].Record(stream);
                (half, used) = (1 - half, 0);
                done[half].Wait();
                continue;
            }
            var part = from.Slice(at, Math.Min(room, from.Length - at));
            byte* place = Half(half) + used;
            part.CopyTo(new Span<T>(place, part.Length));
            int bytes = part.Length * sizeof(T);
            to.SubView((long)at * sizeof(T), bytes).CopyFromCPUUnsafeAsync(stream, ref *place, bytes);
            used += (bytes + Alignment - 1) / Alignment * Alignment;
            at += part.Length;
        }
    }

    /// <summary>Returns with the values, and so after all that the stream was given before.</summary>
    public void Download<T>(ArrayView<byte> from, Span<T> to, AcceleratorStream stream) where T : unmanaged
    {
        int most = HalfBytes / sizeof(T), parts = (to.Length + most - 1) / most;
        for (int i = 0; i <= parts; i++)
        {
            if (i < parts)
            {
                int bytes = Part(to, i).Length * sizeof(T);
                from.SubView((long)i * most * sizeof(T), bytes).CopyToCPUUnsafeAsync(stream, ref *Half(i % 2), bytes);
                done[i % 2].Record(stream);
            }
            if (i > 0)
            {
                done[(i - 1) % 2].Wait();
                var part = Part(to, i - 1);
                new Span<T>(Half((i - 1) % 2), part.Length).CopyTo(part);
            }
        }

        Span<T> Part(Span<T> all, int i) => all.Slice(i * most, Math.Min(most, all.Length - i * most));
    }

    /// <summary>Nothing may be on its way.</summary>
    public void Dispose()
    {
        foreach (var end in done)
            end.Dispose();
        if (memory is null)
            return;
        if (accelerator is CudaAccelerator)
            CudaDriver.FreePinned((nint)memory);
        else
            NativeMemory.AlignedFree(memory);
        memory = null;
    }

    private byte* Half(int index)
    {
        if (memory is null)
            memory = (byte*)(accelerator is CudaAccelerator ? CudaDriver.AllocatePinned(2 * HalfBytes) : (nint)NativeMemory.AlignedAlloc(2 * HalfBytes, Alignment));
        return memory + (long)index * HalfBytes;
    }
}
