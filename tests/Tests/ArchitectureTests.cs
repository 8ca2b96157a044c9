using System.Reflection;
using System.Xml.Linq;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Who may know whom: what the README and the design promise about the parts.</summary>
public sealed class ArchitectureTests
{
    private static readonly string Source = Path.Combine(GoldenFolder.RepositoryRoot, "src");

    [Fact]
    public void KernelsAndLayersCallNoNativeLibraryButTheCudaDriverAndTheSystem()
    {
        var native = new[] { typeof(KernelException).Assembly, typeof(TensorException).Assembly }
            .SelectMany(a => a.GetTypes().Where(t => t != typeof(CudaDriver) && t != typeof(HugePages)))
            .SelectMany(t => t.GetMethods(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly))
            .Where(m => m.Attributes.HasFlag(MethodAttributes.PinvokeImpl));
        Assert.Empty(native.Select(m => $"{m.DeclaringType}.{m.Name}"));
    }

    [Fact]
    public void OnlyTwoFilesKnowTheImageLibrary() => Assert.Equal(
        ["Canvas.cs", "ImageFile.cs"], UsingSkia().Select(Path.GetFileName).Order());

    [Theory]
    [InlineData("Kernels", "ILGPU")]
    [InlineData("Layers", "Kernels")]
    [InlineData("Comm", "Layers")]
    [InlineData("Detector", "Comm", "SkiaSharp", "SkiaSharp.NativeAssets.Linux.NoDependencies", "YamlDotNet")]
    [InlineData("Cli", "Detector", "Spectre.Console", "System.CommandLine")]
    public void ProjectsReferenceOnlyTheirNeighbour(string project, params string[] expected)
    {
        var document = XDocument.Load(Path.Combine(Source, project, project + ".csproj"));
        var found = document.Descendants().Where(e => e.Name.LocalName is "ProjectReference" or "PackageReference")
            .Select(e => Path.GetFileNameWithoutExtension(((string)e.Attribute("Include")!).Replace('\\', '/')) is var name && e.Name.LocalName == "ProjectReference"
                ? name : (string)e.Attribute("Include")!);
        Assert.Equal(expected.Order(), found.Order());
    }

    private static IEnumerable<string> UsingSkia() =>
        Directory.EnumerateFiles(Source, "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}"))
            .Where(f => File.ReadLines(f).Any(l => l.StartsWith("using SkiaSharp") || l.Contains("SKImage") || l.Contains("SKCanvas")));
}
