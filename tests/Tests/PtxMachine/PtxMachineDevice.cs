using System.Reflection;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Tests;

/// <summary>A device whose memory is the processor's and whose kernels are the PTX that a GPU would be given, run on <see cref="PtxMachine"/>.</summary>
/// <param name="backwards">The last group, warp and thread come first: no result may depend on it.</param>
internal sealed class PtxMachineDevice(bool backwards = false) : GpuDevice("ptx-machine")
{
    /// <summary>Instructions executed so far, counted once for each thread.</summary>
    public long Executed { get; private set; }

    protected override bool HasTensorCores => true;

    protected override void Start<TArguments>(MethodInfo kernel, int groups, int groupSize, TArguments arguments)
    {
        Executed += PtxMachine.Run(PtxProgram.Of(kernel), groups, groupSize, new PtxArguments(arguments), backwards);
        PtxCoverage.Add(kernel);
    }
}
