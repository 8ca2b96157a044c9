using System.Diagnostics;
using System.Runtime.InteropServices;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>The thread team under use and misuse: every task once, errors reach the caller, disposal neither cuts off nor hangs.</summary>
public sealed unsafe class ThreadTeamTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly struct Count(int* hits) : IRangeBody
    {
        public void Invoke(int start, int end, int worker)
        {
            for (int i = start; i < end; i++)
                Interlocked.Increment(ref hits[i]);
        }
    }

    private readonly struct FailAt(int task) : IRangeBody
    {
        public void Invoke(int start, int end, int worker)
        {
            if (task >= start && task < end)
                throw new InvalidOperationException($"task {task}");
        }
    }

    private readonly struct Pieces(int length, int* calls) : IRangeBody
    {
        public void Invoke(int start, int end, int worker)
        {
            Assert.Equal(length, end - start);
            Interlocked.Increment(ref *calls);
        }
    }

    private readonly struct Sleep(int milliseconds, int* done) : IRangeBody
    {
        public void Invoke(int start, int end, int worker)
        {
            Thread.Sleep(milliseconds);
            Interlocked.Add(ref *done, end - start);
        }
    }

    /// <summary>The first task waits until so many others are done.</summary>
    private readonly struct WaitInFirst(int others, int* done) : IRangeBody
    {
        public void Invoke(int start, int end, int worker)
        {
            long begun = Stopwatch.GetTimestamp();
            while (start == 0 && Volatile.Read(ref *done) < others)
            {
                if (Stopwatch.GetElapsedTime(begun) > Patience)
                    throw new TimeoutException("nobody helped");
                Thread.Yield();
            }
            Interlocked.Add(ref *done, end - start);
        }
    }

    /// <summary>Fails where it is not the caller of the team who does it, for whom the caller waits.</summary>
    private readonly struct FailElsewhere(int* elsewhere) : IRangeBody
    {
        public void Invoke(int start, int end, int worker)
        {
            if (worker > 0)
            {
                Interlocked.Increment(ref *elsewhere);
                throw new InvalidOperationException("elsewhere");
            }
            while (Volatile.Read(ref *elsewhere) == 0)
                Thread.Yield();
        }
    }

    private readonly struct Nested(GCHandle<ThreadTeam> team) : IRangeBody
    {
        public void Invoke(int start, int end, int worker) => team.Target.For(8, new FailAt(-1));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    public void EveryTaskRunsOnceFromAnyNumberOfCallers(int threads)
    {
        const int Tasks = 37, Calls = 300, Callers = 3;
        using var team = new ThreadTeam(threads);
        int* hits = stackalloc int[Tasks];
        new Span<int>(hits, Tasks).Clear();
        nint address = (nint)hits;
        var callers = Enumerable.Range(0, Callers).Select(_ => new Thread(() =>
        {
            for (int call = 0; call < Calls; call++)
                team.For(Tasks, new Count((int*)address));
        })).ToArray();
        foreach (var caller in callers)
            caller.Start();
        foreach (var caller in callers)
            Assert.True(caller.Join(Patience));
        foreach (int count in new Span<int>(hits, Tasks))
            Assert.Equal(Calls * Callers, count);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(9)]
    public void AnErrorOfAnyTaskReachesTheCallerAndTheTeamGoesOn(int task)
    {
        using var team = new ThreadTeam(3);
        for (int i = 0; i < 50; i++)
            Assert.Equal($"task {task}", Assert.Throws<InvalidOperationException>(() => team.For(10, new FailAt(task))).Message);
        int hit = 0;
        team.For(1, new Count(&hit));
        Assert.Equal(1, hit);
    }

    /// <summary>Of the first worker's share half is under way; the rest is done by the others while it stands still.</summary>
    [Theory]
    [InlineData(2, 8, 6)]
    [InlineData(3, 30, 25)]
    public void OthersDoTheTasksOfAWorkerThatIsHeldUp(int threads, int tasks, int others)
    {
        using var team = new ThreadTeam(threads);
        for (int i = 0; i < 20; i++)
        {
            int done = 0;
            team.For(tasks, new WaitInFirst(others, &done));
            Assert.Equal(tasks, done);
        }
    }

    /// <summary>A thread of its own that helps the team over and over, while <paramref name="work"/> runs.</summary>
    private static void WithGuest(ThreadTeam team, Action work)
    {
        using var end = new CancellationTokenSource();
        var guest = new Thread(() =>
        {
            while (!end.IsCancellationRequested)
                if (!team.Help())
                    Thread.Yield();
        });
        guest.Start();
        try
        {
            work();
        }
        finally
        {
            end.Cancel();
            Assert.True(guest.Join(Patience), "the guest never came out");
        }
    }

    [Theory]
    [InlineData(1, 8, 4)]
    [InlineData(2, 16, 12)]
    public void AGuestDoesTasksToo(int threads, int tasks, int others)
    {
        using var team = new ThreadTeam(threads);
        team.AdmitGuest();
        Assert.Equal(threads + 1, team.Threads);
        Assert.False(team.Help(), "nothing is under way");
        WithGuest(team, () =>
        {
            for (int i = 0; i < 20; i++)
            {
                int done = 0;
                team.For(tasks, new WaitInFirst(others, &done));
                Assert.Equal(tasks, done);
            }
        });
    }

    [Fact]
    public void EveryTaskRunsOnceWithAGuestThatComesAndGoes()
    {
        const int Tasks = 37, Calls = 20_000;
        using var team = new ThreadTeam(1);
        team.AdmitGuest();
        int* hits = stackalloc int[Tasks];
        new Span<int>(hits, Tasks).Clear();
        nint address = (nint)hits;
        WithGuest(team, () =>
        {
            for (int call = 0; call < Calls; call++)
                team.For(Tasks, new Count((int*)address));
        });
        foreach (int count in new Span<int>(hits, Tasks))
            Assert.Equal(Calls, count);
    }

    [Fact]
    public void AnErrorOfTheGuestReachesTheCaller()
    {
        using var team = new ThreadTeam(1);
        team.AdmitGuest();
        WithGuest(team, () =>
        {
            for (int i = 0; i < 20; i++)
            {
                int elsewhere = 0;
                var body = new FailElsewhere(&elsewhere);
                Assert.Equal("elsewhere", Assert.Throws<InvalidOperationException>(() => team.For(8, body)).Message);
            }
        });
    }

    [Fact]
    public void NoGuestComesWhereNoneIsAdmitted()
    {
        using var team = new ThreadTeam(1);
        int done = 0;
        nint address = (nint)(&done);
        var call = new Thread(() => team.For(4, new Sleep(200, (int*)address)));
        call.Start();
        while (call.IsAlive)
            Assert.False(team.Help());
        Assert.Equal(4, done);
    }

    [Fact]
    public void TasksThatAreNotWorthAnotherThreadStayTogether()
    {
        using var team = new ThreadTeam(2);
        int calls = 0;
        team.For(20, new Pieces(10, &calls), grain: 10);
        Assert.Equal(2, calls);
    }

    [Fact]
    public void ABodyThatCallsItsOwnTeamIsToldSo()
    {
        using var team = new ThreadTeam(2);
        using var handle = new GCHandle<ThreadTeam>(team);
        var body = new Nested(handle);
        var call = Task.Run(() => Assert.Throws<KernelException>(() => team.For(2, body)).Message);
        Assert.True(call.Wait(Patience, TestContext.Current.CancellationToken), "hangs");
        Assert.Contains("called from a body", call.Result);
    }

    [Fact]
    public void DisposalWaitsForTheCallUnderWayAndLaterCallsAreRefused()
    {
        var team = new ThreadTeam(4);
        int done = 0;
        nint address = (nint)(&done);
        var call = new Thread(() => team.For(4, new Sleep(200, (int*)address)));
        call.Start();
        Thread.Sleep(50);
        team.Dispose();
        Assert.True(call.Join(Patience), "the call never came back");
        Assert.Equal(4, done);
        team.Dispose();
        var late = Task.Run(() => team.For(4, new FailAt(-1)));
        Assert.IsType<ObjectDisposedException>(Assert.Throws<AggregateException>(() => late.Wait(Patience)).InnerException);
    }
}
