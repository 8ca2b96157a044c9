using System.Diagnostics;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>A native library made for a test, of a few lines of C.</summary>
internal static class StubLibrary
{
    /// <summary>Its path, in the folder. Without a compiler the test is skipped and says so.</summary>
    public static string Compile(TempFolder folder, string source, string name)
    {
        try
        {
            using var compiler = Process.Start("gcc", ["-shared", "-fPIC", "-pthread", "-o", folder[name], folder.Write(name + ".c", source), "-lm"]);
            compiler.WaitForExit();
            Assert.Equal(0, compiler.ExitCode);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("no gcc here to make a library with");
        }
        return folder[name];
    }
}
