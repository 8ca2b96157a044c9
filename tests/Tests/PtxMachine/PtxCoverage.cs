using System.Collections.Concurrent;
using System.Reflection;
using CudaKernels.Kernels;
using CudaKernels.Tests;
using Xunit;
using Xunit.v3;

[assembly: PtxCoverage.Recorded]
[assembly: AssemblyFixture(typeof(PtxCoverage))]

namespace CudaKernels.Tests;

/// <summary>
/// After a run of all tests, and with the golden references at hand, every kernel must have run on the PTX machine: the run fails
/// with the names of those that have not. A run of some tests proves nothing about the others and is let pass.
/// </summary>
public sealed class PtxCoverage : IDisposable
{
    private static readonly ConcurrentDictionary<MethodInfo, bool> Ran = [];
    private static readonly ConcurrentDictionary<MethodInfo, bool> Tests = [];

    internal static void Add(MethodInfo kernel) => Ran[kernel] = true;

    internal static bool HasBegun(MethodInfo test) => Tests.ContainsKey(test);

    public void Dispose()
    {
        bool all = typeof(PtxCoverage).Assembly.GetTypes().Where(type => type.IsPublic).SelectMany(type => type.GetMethods())
            .All(method => method.GetCustomAttribute<FactAttribute>() is not { Skip: null } || HasBegun(method));
        if (all && GoldenFolder.Exists && Missing(GpuKernels.Find()) is { Count: > 0 } missing)
            throw new PtxFault($"{missing.Count} kernels never ran on the PTX machine: {string.Join(", ", missing)}; a test of each should take the lanes of KernelTest.Lanes");
    }

    internal static IReadOnlyList<string> Missing(IEnumerable<MethodInfo> kernels) => [.. kernels.Where(k => !Ran.ContainsKey(k)).Select(KernelLoader.NameOf)];

    /// <summary>Notes each test that begins.</summary>
    [AttributeUsage(AttributeTargets.Assembly)]
    internal sealed class RecordedAttribute : BeforeAfterTestAttribute
    {
        public override void Before(MethodInfo methodUnderTest, IXunitTest test) => Tests[methodUnderTest] = true;
    }
}
