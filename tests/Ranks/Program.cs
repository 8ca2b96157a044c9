using System.Runtime.InteropServices;
using CudaKernels.Comm;
using CudaKernels.Kernels.Devices;
using CudaKernels.Ranks;

// `threads N`: the speed of N ranks that are threads. `meet RANK SIZE PORT`: a rendezvous. Else one rank of a group that mpirun started: `cases`, `speed` or
// one of the mishaps; what goes wrong is one line on standard error, as of the tool itself.
if (args is ["threads", var count])
{
    var devices = Enumerable.Range(0, int.Parse(count)).Select(_ => new CpuDevice(1)).ToArray();
    InProcessRanks.Run(devices, group => Report(Speed.Measure(group, devices[group.Rank]), group));
    return 0;
}
if (args is ["meet", var rankText, var sizeText, var port])
{
    int number = int.Parse(rankText);
    Console.WriteLine(Convert.ToHexString(TcpRendezvous.Exchange(new(number, int.Parse(sizeText), "localhost", int.Parse(port)), number == 0 ? [1, 2, 0xAB] : [], TimeSpan.FromSeconds(60))));
    return 0;
}
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
        else if (args[0] == "speed")
            Report(Speed.Measure(group, device), group);
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

static void Report(IEnumerable<string> lines, ICollective group)
{
    foreach (string line in lines)
        if (group.Rank == 0)
            Console.WriteLine(line);
}
