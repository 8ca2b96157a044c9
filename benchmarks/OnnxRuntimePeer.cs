using CudaKernels.Detection;
using Microsoft.ML.OnnxRuntime;

namespace CudaKernels.Benchmarks;

/// <summary>An exported file in ONNX Runtime's processor provider, with all of its graph optimisations.</summary>
internal sealed class OnnxRuntimePeer : IDisposable
{
    private readonly SessionOptions options;
    private readonly InferenceSession session;
    private readonly RunOptions run = new();

    public OnnxRuntimePeer(string path, int threads)
    {
        options = new SessionOptions
        {
            IntraOpNumThreads = threads,
            InterOpNumThreads = 1,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
        };
        session = new InferenceSession(path, options);
    }

    public IReadOnlyDictionary<string, OnnxTensor> Outputs(OnnxTensor images)
    {
        using var results = Results(images);
        return session.OutputNames.Zip(results).ToDictionary(r => r.First, r =>
            new OnnxTensor([.. r.Second.GetTensorTypeAndShape().Shape.Select(size => (int)size)], r.Second.GetTensorDataAsSpan<float>().ToArray()));
    }

    public void Run(OnnxTensor images) => Results(images).Dispose();

    public void Dispose()
    {
        run.Dispose();
        session.Dispose();
        options.Dispose();
    }

    private IDisposableReadOnlyCollection<OrtValue> Results(OnnxTensor images)
    {
        using var input = OrtValue.CreateTensorValueFromMemory(images.Floats, [.. images.Shape.Select(size => (long)size)]);
        return session.Run(run, [OnnxExporter.Input], [input], session.OutputNames);
    }
}
