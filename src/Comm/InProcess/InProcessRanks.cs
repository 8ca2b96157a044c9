using System.Runtime.ExceptionServices;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Comm;

/// <summary>Runs the same work on a thread for each rank of a group.</summary>
internal static class InProcessRanks
{
    /// <summary>How long a rank may take to end once another has failed; after that it is left behind: a thread cannot be killed.</summary>
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Glance = TimeSpan.FromSeconds(0.1);

    /// <summary>Returns once the work has ended on all ranks. What it throws on one ends the others.</summary>
    /// <exception cref="CollectiveException">A rank failed while others waited for it; what that rank threw is inside.</exception>
    public static void Run(IReadOnlyList<Device> devices, Action<ICollective> work, TimeSpan? patience = null)
    {
        var members = InProcessCollective.Create(devices, patience);
        var failures = new ExceptionDispatchInfo?[members.Length];
        using var failed = new ManualResetEventSlim();
        var threads = members.Select(member => new Thread(() => Work(member)) { IsBackground = true, Name = $"rank {member.Rank}" }).ToArray();
        foreach (var thread in threads)
            thread.Start();
        foreach (var thread in threads)
        {
            while (!failed.IsSet && !thread.Join(Glance))
            {
            }
            thread.Join(Farewell);
        }
        // Who waited for the rank that failed names it and the operation; without such a witness its own words must do.
        var thrown = failures.OfType<ExceptionDispatchInfo>().ToArray();
        (thrown.FirstOrDefault(e => e.SourceException is CollectiveException) ?? thrown.FirstOrDefault())?.Throw();

        void Work(InProcessCollective member)
        {
            using var _ = member;
            try
            {
                work(member);
            }
            catch (Exception e)
            {
                failures[member.Rank] = ExceptionDispatchInfo.Capture(e);
                member.Fail(e); // before it is disposed, which is only leaving
                failed.Set();
            }
        }
    }
}
