using System.Runtime.InteropServices;

namespace CudaKernels.Kernels.Devices;

/// <summary>Host memory in 64-byte aligned blocks; large ones in <see cref="HugePages"/>.</summary>
internal sealed unsafe class CpuMemoryPool(Device device) : MemoryPool(device)
{
    protected override long SystemBytes
    {
        get
        {
            GC.Collect(0); // the figures are those of the last collection
            var memory = GC.GetGCMemoryInfo();
            return Math.Max(0, memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes);
        }
    }

    protected override DeviceBuffer? Allocate(long bytes)
    {
        try
        {
            bool huge = HugePages.Suit(bytes);
            void* block = NativeMemory.AlignedAlloc((nuint)bytes, huge ? HugePages.Size : 64u);
            if (huge)
                HugePages.Advise(block, bytes);
            return new DeviceBuffer(Device, (nint)block, bytes);
        }
        catch (OutOfMemoryException)
        {
            return null;
        }
    }

    protected override void Free(DeviceBuffer block) => NativeMemory.AlignedFree((void*)block.Address);
}
