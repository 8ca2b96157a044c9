namespace CudaKernels.Tests;

/// <summary>Executes a kernel's PTX, group after group, and checks on the way what a GPU would not: bounds, alignment, races, barriers.</summary>
internal static class PtxMachine
{
    /// <param name="backwards">The last group, warp and thread come first.</param>
    /// <returns>Instructions executed, counted once for each thread.</returns>
    /// <exception cref="PtxFault">The kernel did something wrong, or something the machine does not know.</exception>
    public static long Run(PtxProgram program, int groups, int groupSize, PtxArguments arguments, bool backwards = false)
    {
        if (arguments.Bytes.Length != program.ParameterBytes)
            throw new PtxFault($"{program.Name}: takes {program.ParameterBytes} bytes of arguments but the machine lays out {arguments.Bytes.Length}");
        var block = new PtxBlock(program, groups, groupSize, arguments.Bytes, new PtxGlobalMemory(program, arguments.Views), backwards);
        for (int group = 0; group < groups; group++)
            block.Run(backwards ? groups - 1 - group : group);
        return block.Executed;
    }
}
