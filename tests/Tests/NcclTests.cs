using CudaKernels.Comm;
using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Without the library there is one line that says so; with it, only a GPU can tell more (rung k of the ladder).</summary>
public sealed class NcclTests
{
    [Fact]
    public void AnAbsentOrForeignLibraryIsNamed()
    {
        using var folder = new TempFolder();
        string empty = folder.Write("libnccl.so.2", "");
        foreach (string name in (string[])["libnccl-of-no-machine.so.2", empty])
        {
            string message = Assert.Throws<KernelException>(() => NcclNative.Load(name)).Message;
            Assert.StartsWith("NCCL: ", message);
            Assert.Contains(name, message);
            Assert.DoesNotContain('\n', message);
        }
    }
}
