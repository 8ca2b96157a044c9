using CudaKernels.Detection;

namespace CudaKernels.Benchmarks;

/// <summary>
/// `onnx [MODEL [IMGSZ]]`: exports the model with random weights, runs the file in ONNX Runtime and prints how far its outputs are from ours;
/// then the fastest of a few runs of both, in turn. A quick look: the table of <see cref="InferenceBenchmarks"/> has the statistics.
/// </summary>
internal static class OnnxRuntimeCheck
{
    private const int Rounds = 3, Repetitions = 5;

    public static int Run(string model, int size)
    {
        string path = Path.GetTempFileName();
        try
        {
            bool agree = true;
            foreach (int threads in new[] { 2, 1 })
            {
                using var ours = new InferenceCase(model, size, threads);
                ours.Export(path);
                if (threads == 2)
                    agree = Agree(ours, path, size);
                var levels = ours.Levels;
                double own = double.MaxValue, peers = double.MaxValue;
                for (int round = 0; round < Rounds; round++)
                {
                    own = Math.Min(own, Roofline.Fastest(Repetitions, ours.Run));
                    // Its waiting threads spin, so they must be gone when it is our turn.
                    using var peer = new OnnxRuntimePeer(path, threads);
                    peers = Math.Min(peers, Roofline.Fastest(Repetitions, () => peer.Run(levels)));
                }
                Console.WriteLine(FormattableString.Invariant(
                    $"{model} at {size} px, {threads} thread(s): ours {1000 * own:F1} ms, ONNX Runtime {1000 * peers:F1} ms, ratio {peers / own:F2}"));
            }
            return agree ? 0 : 1;
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static bool Agree(InferenceCase ours, string path, int size)
    {
        using var peer = new OnnxRuntimePeer(path, threads: 1);
        var differences = OnnxCheck.Compare(ours.Model, ours.Device, size, size, peer.Outputs);
        foreach (var difference in differences)
            Console.WriteLine($"ONNX Runtime against ours, {difference}: {(difference.IsWithin ? "ok" : "WRONG")}");
        return differences.All(d => d.IsWithin);
    }
}
