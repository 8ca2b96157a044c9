using System.Reflection;
using System.Text.RegularExpressions;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using ILGPU;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>
/// Every kernel compiles to PTX for every architecture and passes the lint, with no GPU at hand. That none is forgotten is checked
/// by <see cref="GpuUnderTest"/>: a launch of a kernel that <see cref="GpuKernels"/> does not know fails its test.
/// </summary>
public sealed partial class KernelPtxTests
{
    [Theory]
    [InlineData("sm_80")]
    [InlineData("sm_90")]
    public void EveryKernelCompilesAndPassesTheLint(string architecture)
    {
        using var compiler = new OfflineCompiler(architecture);
        var problems = new List<string>();
        var kernels = GpuKernels.Find();
        foreach (var kernel in kernels)
        {
            string name = KernelLoader.NameOf(kernel);
            try
            {
                string text = compiler.Compile(kernel);
                Assert.Contains($".target {architecture}\n", text.ReplaceLineEndings("\n"));
                problems.AddRange(PtxLint.Check(text, MeansDouble(kernel)).Select(p => $"{name}: {p}"));
            }
            catch (KernelException e)
            {
                problems.Add(e.Message);
            }
        }
        Assert.True(problems.Count == 0, string.Join("\n", problems));
        Assert.Equal(kernels.Count, kernels.Select(KernelLoader.NameOf).Distinct(StringComparer.OrdinalIgnoreCase).Count());
    }

    [Fact]
    public void TheCatalogueClosesGenericKernels()
    {
        string[] names = [.. GpuKernels.Find().Select(KernelLoader.NameOf)];
        Assert.Contains("GpuDevice.FillKernel", names);
        Assert.Contains("Pointwise.Kernel-AddForward.Formula-F32x1", names);
        Assert.Contains("Pointwise.Kernel-Scale.Formula-Quad-F32x1", names);
    }

    /// <summary>What is compiled for four floats at a time really moves them in one access, and all of its floats.</summary>
    [Fact]
    public void KernelsForFourFloatsUseWideAccesses()
    {
        using var compiler = new OfflineCompiler("sm_90");
        var problems = new List<string>();
        var wide = GpuKernels.Find().Where(k => KernelLoader.NameOf(k).EndsWith("-Quad-F32x1")).ToArray();
        foreach (var kernel in wide)
        {
            string text = compiler.Compile(kernel), name = KernelLoader.NameOf(kernel);
            if (!WideLoad().IsMatch(text) || !WideStore().IsMatch(text))
                problems.Add($"{name}: no 128-bit load or store");
        }
        Assert.True(problems.Count == 0, string.Join("\n", problems));
        Assert.True(wide.Length >= 20, $"only {wide.Length} kernels read four floats at a time");
    }

    // Spaces of memory differ between compilers; four floats in one instruction is what counts.
    [GeneratedRegex(@"\bld\.(?:global\.)?v4\.f32")]
    private static partial Regex WideLoad();

    [GeneratedRegex(@"\bst\.(?:global\.)?v4\.f32")]
    private static partial Regex WideStore();

    /// <summary>A failed compilation spoils the compiler's context; the next kernel must not notice.</summary>
    [Fact]
    public void AKernelThatDoesNotCompileIsNamedAndTheNextOneCompiles()
    {
        using var compiler = new OfflineCompiler("sm_90");
        var error = Assert.Throws<KernelException>(() => compiler.Compile(Method(nameof(Throwing))));
        Assert.StartsWith("KernelPtxTests.Throwing: does not compile for sm_90: ", error.Message);
        Assert.Contains(".entry", compiler.Compile(Method(nameof(Sound))));
        Assert.Contains("sm_80 or sm_90", Assert.Throws<KernelException>(() => new OfflineCompiler("sm_7")).Message);
    }

    /// <summary>A kernel means to compute in double where it or what it calls declares one; a literal without f declares nothing.</summary>
    private static bool MeansDouble(MethodInfo kernel) => GpuKernels.Reach([kernel]).Any(method =>
        method.GetParameters().Select(p => p.ParameterType).Concat(method.GetMethodBody()?.LocalVariables.Select(v => v.LocalType) ?? [])
            .Append((method as MethodInfo)?.ReturnType ?? typeof(void)).Any(HoldsDouble));

    private static bool HoldsDouble(Type type) => type == typeof(double) || type.GetGenericArguments().Any(HoldsDouble)
        || type is { IsValueType: true, IsPrimitive: false, IsEnum: false } && type.Assembly == typeof(GpuDevice).Assembly
            && type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).Any(f => f.FieldType != type && HoldsDouble(f.FieldType));

    internal readonly record struct Arguments(ArrayView<float> Y);

    private static void Sound(Arguments a) => a.Y[Grid.IdxX] = 1;

    private static void Throwing(Arguments a) => throw new InvalidOperationException(a.ToString());

    private static MethodInfo Method(string name) => typeof(KernelPtxTests).GetMethod(name, BindingFlags.NonPublic | BindingFlags.Static)!;
}
