namespace CudaKernels.Tests;

/// <summary>What the threads of a warp do with each other: shuffles, votes, meetings. All lanes that the mask names must come.</summary>
internal static class PtxExchange
{
    public static PtxStep? Find(PtxDecoder decoder)
    {
        var line = decoder.Line;
        return (line.Name, line.Operands) switch
        {
            (["shfl", "sync", var mode, "b32"], [var to, var value, var lane, var bounds, var mask]) when Source(mode) is { } source => Shuffle(decoder, source, to.Split('|'), value, lane, bounds, mask),
            (["vote", "sync", var mode, "pred"], [var to, var predicate, var mask]) when mode is "all" or "any" or "uni" => Vote(decoder, to, predicate, mask, (held, here) => PtxType.Cell(mode switch
            {
                "all" => held == here,
                "any" => held != 0,
                _ => held == 0 || held == here,
            })),
            (["vote", "sync", "ballot", "b32"], [var to, var predicate, var mask]) => Vote(decoder, to, predicate, mask, (held, _) => held),
            (["bar", "warp", "sync"], [var mask]) => Meet(decoder.Row(mask)),
            (["activemask", "b32"], [var to]) => ActiveMask(decoder.Row(to)),
            _ => null,
        };
    }

    /// <summary>The lane a value comes from, of the lane, its operand, the lowest and the highest lane of its segment and the segment's mask.</summary>
    private delegate (int Lane, bool Inside) SourceOf(int lane, int operand, int low, int high, int segment);

    private static SourceOf? Source(string mode) => mode switch
    {
        "up" => (lane, operand, _, high, _) => (lane - operand, lane - operand >= high),
        "down" => (lane, operand, _, high, _) => (lane + operand, lane + operand <= high),
        "bfly" => (lane, operand, _, high, _) => (lane ^ operand, (lane ^ operand) <= high),
        "idx" => (_, operand, low, high, segment) => (low | operand & ~segment, (low | operand & ~segment) <= high),
        _ => null,
    };

    private static PtxStep Shuffle(PtxDecoder decoder, SourceOf source, string[] to, string value, string operand, string bounds, string mask)
    {
        int toRow = decoder.Row(to[0]), valueRow = decoder.Row(value), operandRow = decoder.Row(operand), boundsRow = decoder.Row(bounds), maskRow = decoder.Row(mask);
        int? insideRow = to.Length > 1 ? decoder.Row(to[1]) : null;
        return warp =>
        {
            ulong[] cells = warp.Cells;
            if (!warp.Meets((uint)cells[maskRow + warp.Running[0]]))
                return;
            Span<ulong> before = stackalloc ulong[PtxWarp.Lanes];
            cells.AsSpan(valueRow, PtxWarp.Lanes).CopyTo(before);
            foreach (int lane in warp.Running)
            {
                int segment = (int)(cells[boundsRow + lane] >> 8) & 31, clamp = (int)cells[boundsRow + lane] & 31;
                var (from, inside) = source(lane, (int)cells[operandRow + lane] & 31, lane & segment, lane & segment | clamp & ~segment, segment);
                if (!inside)
                    from = lane;
                if (!warp.Running.Contains(from))
                    throw warp.Fault(lane, $"reads from lane {from}, which is not here");
                cells[toRow + lane] = before[from];
                if (insideRow is { } row)
                    cells[row + lane] = PtxType.Cell(inside);
            }
        };
    }

    private static PtxStep Vote(PtxDecoder decoder, string to, string predicate, string mask, Func<uint, uint, ulong> result)
    {
        int toRow = decoder.Row(to), row = decoder.Row(predicate), maskRow = decoder.Row(mask);
        return warp =>
        {
            ulong[] cells = warp.Cells;
            if (!warp.Meets((uint)cells[maskRow + warp.Running[0]]))
                return;
            uint held = 0, here = 0;
            foreach (int lane in warp.Running)
                (held, here) = (held | (cells[row + lane] != 0 ? 1u << lane : 0), here | 1u << lane);
            foreach (int lane in warp.Running)
                cells[toRow + lane] = result(held, here);
        };
    }

    private static PtxStep Meet(int mask) => warp =>
    {
        if (warp.Meets((uint)warp.Cells[mask + warp.Running[0]]))
            warp.Meetings++;
    };

    private static PtxStep ActiveMask(int to) => warp =>
    {
        uint here = 0;
        foreach (int lane in warp.Running)
            here |= 1u << lane;
        foreach (int lane in warp.Running)
            warp.Cells[to + lane] = here;
    };
}
