using System.Runtime.InteropServices;
using CudaKernels.Comm;
using CudaKernels.Kernels.Devices;
using CudaKernels.Ranks;

// One rank of a group that mpirun started: `cases` or one of the mishaps. What goes wrong is one line on standard error, as of the tool itself.
using var device = new CpuDevice(1);
using var term = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => context.Cancel = true); // mpirun sends it when a rank is gone; the tool saves then
try
{
    using var world = MpiWorld.Open(TimeSpan.FromSeconds(args is [_, var seconds] ? double.Parse(seconds) : 6));
    using var group = world.Join(device);
    try
    {
        if (args[0] == "cases")
            foreach (var rank in RankCases.All)
            {
                rank.Run(group, device);
                group.Barrier();
                if (group.Rank == 0)
                    Console.WriteLine($"ok {rank.Name}");
            }
        else
            Mishaps.Run(args[0], group, device);
    }
    catch (Exception e)
    {
        group.Fail(e);
        throw;
    }
    return 0;
}
catch (Exception e)
{
    Console.Error.WriteLine($"one of the ranks: {e.Message.ReplaceLineEndings(" ")}");
    return 1;
}
