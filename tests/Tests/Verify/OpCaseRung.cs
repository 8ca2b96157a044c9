using Xunit;

namespace CudaKernels.Tests;

/// <summary>Sums the op cases of a class up: any that failed fails the rung and is named, skipped ones are counted with their reasons.</summary>
internal static class OpCaseRung
{
    private const int Named = 12;

    public static string Run(string device, Type type)
    {
        GpuUnderTest.Name = device;
        return Summary(OpCases.Run(type));
    }

    public static string Summary(IEnumerable<OpCaseResult> cases)
    {
        var results = cases.ToList();
        var failed = results.Where(r => r.Failure is not null).ToList();
        var skipped = results.Where(r => r.Skipped is not null).ToList();
        int goldens = results.SelectMany(r => r.Goldens).Distinct().Count();
        string figures = $"{results.Count - failed.Count - skipped.Count} of {results.Count} cases with equal bits when run again, {goldens} golden files";
        if (skipped.Count > 0)
            figures += $", {skipped.Count} skipped: {string.Join("; ", skipped.Select(r => r.Skipped).Distinct())}";
        if (failed.Count > 0)
            Assert.Fail($"{figures}\n{string.Join('\n', failed.Take(Named).Select(r => $"{r.Name}: {r.Failure}"))}{(failed.Count > Named ? $"\nand {failed.Count - Named} more" : "")}");
        return results.Count == skipped.Count ? throw new RungSkipped(skipped.Count == 0 ? "no case of it takes this path" : figures) : figures;
    }
}
