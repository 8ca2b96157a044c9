using BenchmarkDotNet.Attributes;
using CudaKernels.Detection;

namespace CudaKernels.Benchmarks;

/// <summary>Reading, decoding and augmenting pictures for training at 512 pixels; times are a picture's. Its peer is the step that must not wait.</summary>
[MemoryDiagnoser]
public class LoaderBenchmarks
{
    private const int Pictures = 32, Batch = 8, Size = 512;

    private string folder = "";
    private BatchLoader loader = null!;

    [Params(1, 2)]
    public int Workers { get; set; }

    /// <summary>Resize and flip, or all of the long recipe's changes.</summary>
    [Params("Flip", "Full")]
    public string Augment { get; set; } = "";

    [GlobalSetup]
    public void Prepare()
    {
        folder = Directory.CreateTempSubdirectory("loader").FullName;
        const int inAll = Pictures * 8 / 7 + 8; // one in eight is for validation
        string data = SyntheticGenerator.Write(Path.Combine(folder, "data"), inAll, Size, seed: 1);
        loader = new BatchLoader(DatasetSource.Open(data, "train"), new BatchLoaderOptions
        {
            BatchSize = Batch,
            ImageSize = Size,
            Augment = Enum.Parse<Augmentation>(Augment),
            Workers = Workers,
        });
    }

    [GlobalCleanup]
    public void Free() => Directory.Delete(folder, recursive: true);

    [Benchmark(OperationsPerInvoke = Pictures)]
    public int CudaKernels()
    {
        int done = 0;
        foreach (var batch in loader.Epoch(0))
            using (batch)
                if ((done += batch.Count) == Pictures)
                    break;
        return done;
    }
}
