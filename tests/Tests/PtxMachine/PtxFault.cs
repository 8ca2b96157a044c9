namespace CudaKernels.Tests;

/// <summary>What a kernel did wrong on the PTX machine, or what the machine does not know.</summary>
internal sealed class PtxFault(string message) : Exception(message)
{
    /// <param name="place">Group and thread, where a thread is at fault.</param>
    public PtxFault(string kernel, PtxLine line, string place, string what)
        : this($"{kernel}, line {line.Number} `{line.Text}`{(place.Length > 0 ? $", {place}" : "")}: {what}")
    {
    }
}
