namespace CudaKernels.Tests;

/// <summary>Branches, jump tables, ends and the barriers of a group.</summary>
internal static class PtxFlow
{
    public static PtxStep? Find(PtxDecoder decoder)
    {
        var line = decoder.Line;
        switch (string.Join('.', line.Name), line.Operands)
        {
            case ("bra" or "bra.uni", [var label]):
                int target = decoder.Label(label);
                return warp => warp.Jump(target);
            case ("brx.idx" or "brx.idx.uni", [var index, var name]) when decoder.Table(name) is { } table:
                int row = decoder.Row(index);
                return warp => warp.Scatter(lane =>
                    warp.Cells[row + lane] is var i && (uint)i < table.Length ? table[(uint)i] : throw warp.Fault(lane, $"entry {(uint)i} of a table of {table.Length}"));
            case ("ret" or "exit", []):
                return warp => warp.End();
            // Barriers of a part of the group, "bar.sync 1, 64", are not known.
            case ("bar.sync" or "bar.cta.sync" or "barrier.sync" or "barrier.sync.aligned" or "barrier.cta.sync" or "barrier.cta.sync.aligned", [_]):
                return warp => warp.WaitAtBarrier();
            default:
                return null;
        }
    }
}
