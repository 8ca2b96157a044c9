namespace CudaKernels.Tests;

/// <summary>
/// 32 threads with their registers. Of those that can go on, the ones at the lowest line run together, one instruction after the
/// other; so they meet again where their branches do, and any other order would be as lawful.
/// </summary>
internal sealed class PtxWarp
{
    public const int Lanes = 32;

    /// <summary>More instructions of one warp than any sound test needs.</summary>
    private const long Endless = 200_000_000;

    private readonly PtxProgram program;
    private readonly bool backwards;
    private readonly int[] lines = new int[Lanes];
    private readonly State[] states = new State[Lanes];
    private readonly int[] running = new int[Lanes];
    private int count;
    private int pc;
    private int next;

    private enum State { Running, AtMeeting, AtBarrier, Ended }

    public PtxWarp(PtxProgram program, PtxBlock block, int index, int threads, bool backwards)
    {
        (this.program, this.backwards) = (program, backwards);
        (Block, First, Threads) = (block, index * Lanes, threads);
        Cells = new ulong[program.Cells];
        // What was never written must not look like a zero.
        Array.Fill(Cells, 0xdead_beef_dead_beef);
        foreach (var (row, value) in program.Constants)
            Cells.AsSpan(row, Lanes).Fill(value);
    }

    public PtxBlock Block { get; }

    /// <summary>The thread of lane 0.</summary>
    public int First { get; }

    /// <summary>Threads that this warp has: 32, but in the last one of a group.</summary>
    public int Threads { get; }

    /// <summary>All rows; lane l of a row is that many cells behind its first.</summary>
    public ulong[] Cells { get; }

    /// <summary>The lanes that execute the present instruction.</summary>
    public ReadOnlySpan<int> Running => running.AsSpan(0, count);

    public bool IsWhole => count == Lanes;

    /// <summary>The index of the present line.</summary>
    public int At { get; private set; }

    /// <summary>Instructions executed, counted once for each thread.</summary>
    public long Executed { get; private set; }

    /// <summary>Meetings of the warp so far, which order its accesses to memory.</summary>
    public int Meetings { get; set; }

    /// <summary>Asynchronous copies under way.</summary>
    public PtxCopies Copies { get; } = new();

    public void Start()
    {
        Copies.Clear();
        Array.Fill(lines, program.Entry);
        for (int lane = 0; lane < Lanes; lane++)
            states[lane] = lane < Threads ? State.Running : State.Ended;
        (count, Meetings) = (0, 0);
        foreach (var (row, name) in program.Specials)
            for (int lane = 0; lane < Lanes; lane++)
                Cells[row + lane] = Block.Special(name, First + lane);
    }

    /// <summary>Runs until every thread has ended or waits at a barrier of the group.</summary>
    public void Run()
    {
        var steps = program.Steps;
        long limit = Executed + Endless;
        while (Gather())
            do
            {
                At = pc++;
                Executed += count;
                steps[At](this);
                if (Executed > limit)
                    throw Fault(running[0], $"the warp does not end within {Endless} instructions");
            }
            while (pc < next);
    }

    /// <summary>Takes the threads at the lowest line; <see cref="next"/> becomes the lowest of the others.</summary>
    private bool Gather()
    {
        foreach (int lane in Running)
            lines[lane] = pc;
        (pc, next, count) = (int.MaxValue, int.MaxValue, 0);
        for (int lane = 0; lane < Lanes; lane++)
            if (states[lane] == State.Running)
                if (lines[lane] < pc)
                    (pc, next) = (lines[lane], pc);
                else if (lines[lane] > pc && lines[lane] < next)
                    next = lines[lane];
        for (int lane = 0; lane < Lanes; lane++)
            if (states[lane] == State.Running && lines[lane] == pc)
                running[count++] = lane;
        if (backwards)
            running.AsSpan(0, count).Reverse();
        if (count == 0 && Array.IndexOf(states, State.AtMeeting) is var waiting and >= 0)
        {
            At = lines[waiting];
            throw Fault(waiting, "the threads it has to meet here never come");
        }
        return count > 0;
    }

    /// <summary>The running threads whose predicate fails go on at the next line without the others. False where that is all of them.</summary>
    public bool Keep(int predicate, bool negated)
    {
        int kept = 0, all = count;
        foreach (int lane in Running)
            kept += Cells[predicate + lane] != 0 != negated ? 1 : 0;
        if (kept == 0 || kept == all)
            return kept > 0;
        (count, next) = (0, -1);
        foreach (int lane in running.AsSpan(0, all))
            if (Cells[predicate + lane] != 0 != negated)
                running[count++] = lane;
            else
                lines[lane] = pc;
        return true;
    }

    public void Jump(int target) => pc = target;

    /// <summary>Sends the running threads to lines of their own.</summary>
    public void Scatter(Func<int, int> target)
    {
        foreach (int lane in Running)
            lines[lane] = target(lane);
        Release();
    }

    /// <summary>
    /// True where all lanes of the mask are here together. Otherwise those here wait for the others; the instruction is executed
    /// when the last ones arrive.
    /// </summary>
    public bool Meets(uint mask)
    {
        for (int lane = 0; lane < Lanes; lane++)
            if (states[lane] == State.AtMeeting && lines[lane] == At)
            {
                states[lane] = State.Running;
                running[count++] = lane;
            }
        running.AsSpan(0, count).Sort();
        uint here = 0;
        foreach (int lane in Running)
            here |= 1u << lane;
        if ((mask & ~here) == 0)
            return true;
        Halt(State.AtMeeting);
        return false;
    }

    public void WaitAtBarrier() => Halt(State.AtBarrier);

    public void End() => Halt(State.Ended);

    private void Halt(State state)
    {
        foreach (int lane in Running)
            (states[lane], lines[lane]) = (state, At);
        Release();
    }

    /// <summary>The running threads have lines of their own now.</summary>
    private void Release() => (count, next) = (0, -1);

    public bool HasEnded(int lane) => states[lane] == State.Ended;

    public int LineOf(int lane) => lines[lane];

    /// <summary>Lets the threads go on behind the barrier they wait at.</summary>
    public void PassBarrier()
    {
        for (int lane = 0; lane < Threads; lane++)
            (states[lane], lines[lane]) = (State.Running, lines[lane] + 1);
    }

    public PtxMoment Moment(int lane) => new(Block.FirstThread + First + lane, Block.FirstThread, Block.EndThread, Block.Barriers, Meetings);

    public PtxFault Fault(int lane, string what) => new(program.Name, program.Lines[At], $"group {Block.Index}, thread {First + lane}", what);
}
