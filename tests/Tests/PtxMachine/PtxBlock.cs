namespace CudaKernels.Tests;

/// <summary>
/// A group of threads with its shared memory. Its warps take turns: each runs until all of its threads wait at a barrier or have
/// ended. A barrier is passed when all threads of the group wait at the same line; any other end of a turn is an error.
/// </summary>
internal sealed class PtxBlock
{
    private readonly PtxProgram program;
    private readonly PtxWarp[] warps;
    private readonly int groups, size;

    public PtxBlock(PtxProgram program, int groups, int size, byte[] parameters, PtxGlobalMemory global, bool backwards)
    {
        this.program = program;
        (this.groups, this.size) = (groups, size);
        (Parameters, Global) = (parameters, global);
        Shared = new PtxSharedMemory(program);
        var forwards = Enumerable.Range(0, (size + PtxWarp.Lanes - 1) / PtxWarp.Lanes)
            .Select(w => new PtxWarp(program, this, w, Math.Min(PtxWarp.Lanes, size - w * PtxWarp.Lanes), backwards));
        warps = backwards ? [.. forwards.Reverse()] : [.. forwards];
    }

    public int Index { get; private set; }

    /// <summary>The number of its first thread among those of the launch, counted in whole warps from 1.</summary>
    public int FirstThread => 1 + Index * warps.Length * PtxWarp.Lanes;

    public int EndThread => FirstThread + warps.Length * PtxWarp.Lanes;

    /// <summary>Barriers passed by this group.</summary>
    public int Barriers { get; private set; }

    /// <summary>The arguments of the launch.</summary>
    public byte[] Parameters { get; }

    public PtxGlobalMemory Global { get; }

    public PtxSharedMemory Shared { get; }

    public long Executed => warps.Sum(w => w.Executed);

    public void Run(int index)
    {
        (Index, Barriers) = (index, 0);
        Shared.Clear();
        foreach (var warp in warps)
            warp.Start();
        while (true)
        {
            foreach (var warp in warps)
                warp.Run();
            if (warps.All(w => Enumerable.Range(0, w.Threads).All(w.HasEnded)))
                return;
            PassBarrier();
        }
    }

    private void PassBarrier()
    {
        var threads = warps.SelectMany(w => Enumerable.Range(0, w.Threads).Select(lane => (Warp: w, Lane: lane, Ended: w.HasEnded(lane), Line: w.LineOf(lane)))).ToArray();
        var first = threads.First(t => !t.Ended);
        foreach (var t in threads)
            if (t.Ended || t.Line != first.Line)
            {
                string elsewhere = t.Ended ? "has ended" : $"waits at line {program.Lines[t.Line].Number}";
                throw new PtxFault(program.Name, program.Lines[first.Line], $"group {Index}, thread {first.Warp.First + first.Lane}",
                    $"waits at a barrier, but thread {t.Warp.First + t.Lane} {elsewhere}");
            }
        Barriers++;
        foreach (var warp in warps)
            warp.PassBarrier();
    }

    /// <summary>The numbers a thread can ask for. Launches have one dimension.</summary>
    public static bool IsSpecial(string name) => name is "%laneid" or "%warpid" || name.Split('.') is ["%tid" or "%ntid" or "%ctaid" or "%nctaid", "x" or "y" or "z"];

    public ulong Special(string name, int thread) => (ulong)(name switch
    {
        "%laneid" => thread % PtxWarp.Lanes,
        "%warpid" => thread / PtxWarp.Lanes,
        "%tid.x" => thread,
        "%ntid.x" => size,
        "%ctaid.x" => Index,
        "%nctaid.x" => groups,
        _ => name.Contains("%n", StringComparison.Ordinal) ? 1 : 0,
    });
}
