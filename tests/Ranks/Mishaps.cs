using System.Diagnostics;
using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Ranks;

/// <summary>What can happen to rank 2 while the others wait for it.</summary>
internal static class Mishaps
{
    public static void Run(string name, ICollective group, Device device)
    {
        var view = device.Rent(new Shape(64), DType.F32, "ranks");
        device.Fill(view, 1);
        group.AllReduce(view, Reduction.Sum);
        using var pair = group.Split(group.Rank / 2);
        bool comes = true;
        if (group.Rank == 2)
        {
            Console.WriteLine("now");
            comes = Happen(name, device);
        }
        // Rank 3 waits for its neighbour in a group of their own; the others are no part of it.
        if (group.Rank == 3 && name is "throws" or "killed" or "stopped" or "hangs" or "leaves")
            pair.AllReduce(view, Reduction.Sum);
        if (comes)
            group.AllReduce(group.Rank == 2 && name == "disagrees" ? view.Slice(0, new Shape(32)) : view, Reduction.Sum);
        if (name == "null")
            Null(null);
        Console.WriteLine($"rank {group.Rank} is done");
    }

    /// <summary>Whether the rank goes on with the others.</summary>
    private static bool Happen(string name, Device device)
    {
        switch (name)
        {
            case "throws": throw new KernelException("out of memory");
            case "killed": Signal("KILL"); break;
            case "stopped": Signal("STOP"); break;
            case "hangs": Thread.Sleep(TimeSpan.FromMinutes(1)); break;
            case "leaves": return false;
            case "slow":
                using (device.HostWork("evaluation"))
                    Thread.Sleep(3000);
                break;
        }
        return true;
    }

    private static void Signal(string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", Environment.ProcessId.ToString()]);
        kill.WaitForExit();
        Thread.Sleep(TimeSpan.FromMinutes(1));
    }

    private static void Null(string? text) => Console.WriteLine(text!.Length);
}
