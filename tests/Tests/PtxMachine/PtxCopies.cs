using System.Globalization;

namespace CudaKernels.Tests;

/// <summary>
/// The asynchronous copies (cp.async) of the threads of a warp, from global to shared memory. They land when their thread waits for
/// their group: what they read is read at once, what they write nobody may touch before that.
/// </summary>
internal sealed class PtxCopies
{
    // Of each thread its groups, the oldest first; the last one is still open.
    private readonly List<List<(uint To, byte[] Content)>>[] groups = [.. Enumerable.Range(0, PtxWarp.Lanes).Select(_ => new List<List<(uint, byte[])>> { new() })];

    public static PtxStep? Find(PtxDecoder decoder)
    {
        string[] name = decoder.Line.Name;
        if (name is not ["cp", "async", .. var rest])
            return null;
        switch (string.Join('.', rest.Where(part => !part.StartsWith("L2::", StringComparison.Ordinal))).Replace("::cta", ""), decoder.Line.Operands)
        {
            case ("ca.shared.global" or "cg.shared.global", [var to, var from, var size, .. var given])
                when int.Parse(size, CultureInfo.InvariantCulture) is var bytes && (bytes == 16 || rest[0] == "ca" && bytes is 4 or 8):
                var (toRow, toOffset) = decoder.Address(to);
                var (fromRow, fromOffset) = decoder.Address(from);
                // Fewer bytes may be read; zeros fill the rest.
                int givenRow = decoder.Row(given.FirstOrDefault(size));
                return Each((warp, lane) => warp.Copies.Begin(warp, lane, (uint)(warp.Cells[toRow + lane] + (ulong)toOffset), warp.Cells[fromRow + lane] + (ulong)fromOffset, bytes, (int)warp.Cells[givenRow + lane]));
            case ("commit_group", []):
                return Each((warp, lane) => warp.Copies.groups[lane].Add([]));
            case ("wait_group", [var left]):
                int pending = int.Parse(left, CultureInfo.InvariantCulture);
                return Each((warp, lane) => warp.Copies.Land(warp, lane, warp.Copies.groups[lane].Count - 1 - pending));
            case ("wait_all", []):
                return Each((warp, lane) =>
                {
                    warp.Copies.groups[lane].Add([]);
                    warp.Copies.Land(warp, lane, warp.Copies.groups[lane].Count - 1);
                });
            default:
                return null;
        }
    }

    private static PtxStep Each(Action<PtxWarp, int> action) => warp =>
    {
        foreach (int lane in warp.Running)
            action(warp, lane);
    };

    /// <summary>Forgets what a thread of the group before did not wait for.</summary>
    public void Clear()
    {
        foreach (var ofThread in groups)
            if (ofThread is not [{ Count: 0 }])
            {
                ofThread.Clear();
                ofThread.Add([]);
            }
    }

    private unsafe void Begin(PtxWarp warp, int lane, uint to, ulong from, int bytes, int given)
    {
        var content = new byte[bytes];
        if ((uint)given > (uint)bytes)
            throw warp.Fault(lane, $"copies {bytes} bytes of {given}");
        if (given == bytes)
            new ReadOnlySpan<byte>(warp.Block.Global.At(warp, lane, from, bytes, PtxAccess.Read), bytes).CopyTo(content);
        else
            for (int i = 0; i < given; i++)
                content[i] = *warp.Block.Global.At(warp, lane, from + (ulong)i, 1, PtxAccess.Read);
        warp.Block.Shared.Begin(warp, lane, to, bytes);
        groups[lane][^1].Add((to, content));
    }

    private void Land(PtxWarp warp, int lane, int count)
    {
        for (int i = 0; i < count; i++)
            foreach (var (to, content) in groups[lane][i])
                warp.Block.Shared.Land(warp, lane, to, content);
        groups[lane].RemoveRange(0, Math.Max(0, count));
    }
}
