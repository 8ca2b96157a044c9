using System.Runtime.CompilerServices;

namespace CudaKernels.Tests;

/// <summary>The shared memory of a group: no access outside of it, none out of line with its width, no read of what nobody wrote, no race.</summary>
internal sealed unsafe class PtxSharedMemory(PtxProgram program)
{
    private readonly byte[] bytes = GC.AllocateArray<byte>(program.SharedBytes, pinned: true);
    private readonly PtxRaces races = new(program.SharedBytes, program.Grain);

    public void Clear() => races.Clear();

    /// <summary>The place of an access, once it is known to be sound.</summary>
    /// <param name="address">Of 32 bits: it may come from a register that has no more.</param>
    public byte* At(PtxWarp warp, int lane, uint address, int width, PtxAccess access)
    {
        Check(warp, lane, address, width);
        bool written = access == PtxAccess.Write || races.IsWritten(address, width);
        if ((races.Touched(address, width, access, warp.Moment(lane)) ?? (written ? null : "reads what nobody has written")) is { } wrong)
            throw warp.Fault(lane, $"{wrong}: {width} bytes at {address} of shared memory");
        return Pointer(address);
    }

    /// <summary>An asynchronous copy begins to write; until <see cref="Land"/> nobody may touch this.</summary>
    public void Begin(PtxWarp warp, int lane, uint address, int width)
    {
        At(warp, lane, address, width, PtxAccess.Write);
        races.SetPending(address, width, true);
    }

    /// <summary>The copy has arrived: its thread writes it now.</summary>
    public void Land(PtxWarp warp, int lane, uint address, ReadOnlySpan<byte> content)
    {
        races.SetPending(address, content.Length, false);
        content.CopyTo(new Span<byte>(At(warp, lane, address, content.Length, PtxAccess.Write), content.Length));
    }

    private byte* Pointer(uint address) => (byte*)Unsafe.AsPointer(ref bytes[(int)address]);

    private void Check(PtxWarp warp, int lane, uint address, int width)
    {
        if (address + (long)width > bytes.Length)
            throw warp.Fault(lane, $"{width} bytes at {(int)address} lie outside of the {bytes.Length} bytes of shared memory");
        if (address % (uint)width != 0)
            throw warp.Fault(lane, $"{width} bytes at {address} of shared memory are not aligned to {width}");
    }
}
