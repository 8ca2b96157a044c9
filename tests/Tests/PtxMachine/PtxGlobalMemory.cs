namespace CudaKernels.Tests;

/// <summary>A view among the arguments of a launch: the memory that the kernel may touch.</summary>
internal readonly record struct PtxView(string Name, ulong Address, long Bytes);

/// <summary>
/// Memory of the device as one launch sees it: every access lies inside of one of the launch's views and in line with its width, and
/// no two threads race.
/// </summary>
internal sealed unsafe class PtxGlobalMemory
{
    private readonly (ulong Start, ulong End, Region Region)[] views;
    private readonly IReadOnlyList<PtxView> named;
    private int latest;

    public PtxGlobalMemory(PtxProgram program, IReadOnlyList<PtxView> arguments)
    {
        named = [.. arguments.Where(v => v.Bytes > 0).OrderBy(v => v.Address)];
        views = new (ulong, ulong, Region)[named.Count];
        // Views that overlap share a region, so that they share what is known of races.
        for (int first = 0, behind; first < views.Length; first = behind)
        {
            ulong end = named[first].Address + (ulong)named[first].Bytes;
            for (behind = first + 1; behind < views.Length && named[behind].Address < end; behind++)
                end = Math.Max(end, named[behind].Address + (ulong)named[behind].Bytes);
            ulong start = named[first].Address & ~15UL;
            var region = new Region(start, new PtxRaces((long)(end - start), program.Grain));
            for (int i = first; i < behind; i++)
                views[i] = (named[i].Address, named[i].Address + (ulong)named[i].Bytes, region);
        }
    }

    private sealed record Region(ulong Start, PtxRaces Races);

    /// <summary>The place of an access, once it is known to be sound.</summary>
    public byte* At(PtxWarp warp, int lane, ulong address, int width, PtxAccess access)
    {
        if (address % (ulong)width != 0)
            throw warp.Fault(lane, $"{width} bytes are not aligned to {width}: {Describe(address)}");
        var region = Find(address, address + (ulong)width) ?? throw warp.Fault(lane, $"{width} bytes lie outside of every view: {Describe(address)}");
        if (region.Races.Touched((long)(address - region.Start), width, access, warp.Moment(lane)) is { } race)
            throw warp.Fault(lane, $"{race}: {Describe(address)}");
        return (byte*)address;
    }

    private Region? Find(ulong start, ulong end)
    {
        for (int tries = 0; tries < views.Length; tries++, latest = latest + 1 < views.Length ? latest + 1 : 0)
            if (start >= views[latest].Start && end <= views[latest].End)
                return views[latest].Region;
        return null;
    }

    /// <summary>Names an address by the view it is nearest to.</summary>
    private string Describe(ulong address)
    {
        if (named.Count == 0)
            return "the launch has no views";
        var nearest = named.MinBy(v => address < v.Address ? v.Address - address : address - Math.Min(address, v.Address + (ulong)v.Bytes - 1));
        return $"byte {(long)(address - nearest.Address)} of {nearest.Name}, which has {nearest.Bytes}";
    }
}
