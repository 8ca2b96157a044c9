using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Benchmarks;

/// <summary>
/// A detector up to its output maps, on one random picture. Its weights are random too and none is zero, so that offsets of deformable
/// convolutions and running statistics matter; the same name and size always give the same weights.
/// </summary>
internal sealed class InferenceCase : IDisposable
{
    private readonly ParameterSet parameters;
    private readonly byte[] pixels;
    private readonly int size;

    public InferenceCase(string model, int size, int threads)
    {
        this.size = size;
        Model = ModelCatalog.Create(model, [.. Enumerable.Range(0, 80).Select(i => $"class {i}")]);
        Model.Info.CheckImageSize(size);
        Device = new CpuDevice(threads);
        parameters = new ParameterSet(Model, Device, seed: 1);
        var random = new CounterRandom(2);
        ulong draw = 0;
        foreach (ref float value in parameters.Values.AsFloats())
            value += (float)(0.02 * random.At(draw++).Normal());
        foreach (ref float value in parameters.Buffers.AsFloats())
            value += (float)(0.5 * random.At(draw++).Uniform());
        Model.Train(false);
        pixels = new byte[3 * size * size];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = (byte)random.At(draw++).Int(256);
    }

    public CpuDevice Device { get; }

    public DetectionModel Model { get; }

    /// <summary>Levels of the picture as the exported graph wants them: (1,3,size,size).</summary>
    public OnnxTensor Levels => new([1, 3, size, size], OnnxBuilder.ChannelsFirst(Array.ConvertAll(pixels, level => (float)level), 1, size * size, 3));

    public void Export(string path) => OnnxFile.Write(path, OnnxExporter.Export(Model, Device, size));

    /// <summary>Normalises the picture and computes the maps.</summary>
    public void Run()
    {
        using var scope = new StepScope(Device, record: false);
        Model.Trace(ModelInput.Normalize(scope, pixels, 1, size, size), (_, _) => { });
    }

    public void Dispose()
    {
        parameters.Dispose();
        Device.Dispose();
    }
}
