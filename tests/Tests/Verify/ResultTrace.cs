using System.Security.Cryptography;

namespace CudaKernels.Tests;

/// <summary>
/// What one test read back from its device: a digest of all bits, the golden files it opened, and whether it was on the ILGPU path at
/// all. The test tools report to the trace of their thread; without one nothing is recorded.
/// </summary>
internal sealed class ResultTrace : IDisposable
{
    [ThreadStatic]
    private static ResultTrace? current;

    private readonly IncrementalHash digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly HashSet<string> goldens = [];
    private readonly ResultTrace? outer = current;

    public ResultTrace() => current = this;

    /// <summary>The test took a turn on the GPU under test.</summary>
    public bool OnGpu { get; private set; }

    public IReadOnlyCollection<string> Goldens => goldens;

    /// <summary>Of everything read so far; starts anew.</summary>
    public string TakeDigest() => Convert.ToHexString(digest.GetHashAndReset());

    public static void Entered()
    {
        if (current is { } trace)
            trace.OnGpu = true;
    }

    public static void Read(ReadOnlySpan<byte> bytes) => current?.digest.AppendData(bytes);

    public static void Opened(string golden) => current?.goldens.Add(golden);

    public void Dispose()
    {
        current = outer;
        digest.Dispose();
    }
}
