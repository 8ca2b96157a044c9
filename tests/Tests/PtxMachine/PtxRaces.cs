namespace CudaKernels.Tests;

/// <summary>How an access touches memory.</summary>
internal enum PtxAccess { Read, Write, Atomic }

/// <summary>
/// A thread at a moment: its number in the launch, counted in whole warps from 1, the first number of its group and of the next, the
/// barriers its group has passed and the meetings of its warp.
/// </summary>
internal readonly record struct PtxMoment(int Thread, int FirstOfGroup, int EndOfGroup, int Barriers, int Meetings);

/// <summary>
/// Remembers of each grain of memory who wrote and who read it last. Two accesses of different threads, one of them a write, are in
/// order where a barrier of their group, or a meeting of their warp, lies between them; else they race. Atomic accesses do not race
/// with each other.
/// </summary>
internal sealed class PtxRaces(long bytes, int grain)
{
    private readonly Grain[] grains = new Grain[(bytes + grain - 1) / grain];

    // Of several readers, or atomic writers, that are not in order, the last stands for all: several of one group, or of other groups too.
    private struct Grain
    {
        public Touch Write, Read;
        public bool Atomic, Pending;
    }

    private struct Touch
    {
        public int Thread, Barriers, Meetings;
        public bool Several, Foreign;
    }

    public void Clear() => Array.Clear(grains);

    public bool IsWritten(long offset, int bytes)
    {
        for (long g = offset / grain; g <= (offset + bytes - 1) / grain; g++)
            if (grains[g].Write.Thread == 0)
                return false;
        return true;
    }

    /// <summary>A copy is on its way here, or has come; until then nobody may touch this.</summary>
    public void SetPending(long offset, int bytes, bool pending)
    {
        for (long g = offset / grain; g <= (offset + bytes - 1) / grain; g++)
            grains[g].Pending = pending;
    }

    /// <summary>Notes an access; what it races with, if with anything.</summary>
    public string? Touched(long offset, int bytes, PtxAccess access, in PtxMoment now)
    {
        for (long g = offset / grain; g <= (offset + bytes - 1) / grain; g++)
        {
            ref var it = ref grains[g];
            if (it.Pending)
                return "touches what an asynchronous copy is writing";
            bool both = access == PtxAccess.Atomic && it.Atomic;
            if (!both && !InOrder(it.Write, now))
                return $"races with a write by {NameOf(it.Write, now)}";
            if (access == PtxAccess.Read)
                Add(ref it.Read, now);
            else
            {
                if (!InOrder(it.Read, now))
                    return $"races with a read by {NameOf(it.Read, now)}";
                if (both)
                    Add(ref it.Write, now);
                else
                    it.Write = new() { Thread = now.Thread, Barriers = now.Barriers, Meetings = now.Meetings };
                it.Atomic = access == PtxAccess.Atomic;
            }
        }
        return null;
    }

    private static void Add(ref Touch touch, in PtxMoment now) =>
        touch = new() { Several = !InOrder(touch, now), Foreign = touch.Foreign || touch.Thread != 0 && !IsOfGroup(touch, now), Thread = now.Thread, Barriers = now.Barriers, Meetings = now.Meetings };

    /// <summary>True where everything that the touch stands for happened before this moment.</summary>
    private static bool InOrder(in Touch before, in PtxMoment now)
    {
        if (before.Thread == 0 || before.Thread == now.Thread && !before.Several)
            return true;
        if (before.Foreign || !IsOfGroup(before, now))
            return false;
        bool sameWarp = (before.Thread - 1) / PtxWarp.Lanes == (now.Thread - 1) / PtxWarp.Lanes;
        return before.Barriers < now.Barriers || sameWarp && !before.Several && before.Meetings < now.Meetings;
    }

    private static bool IsOfGroup(in Touch before, in PtxMoment now) => before.Thread >= now.FirstOfGroup && before.Thread < now.EndOfGroup;

    private static string NameOf(in Touch before, in PtxMoment now) =>
        !before.Foreign && IsOfGroup(before, now) ? $"thread {before.Thread - now.FirstOfGroup}{(before.Several ? " and others" : "")}" : "another group";
}
