using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>Memory of one case: filled once before timing, returned together after it.</summary>
/// <param name="like">Another set of the same case: what it was filled with is copied on the device instead of drawn.</param>
internal sealed class BenchTensors(Device device, BenchTensors? like = null) : IDisposable
{
    private const int Chunk = 1 << 16; // elements that one thread draws at a time

    private readonly List<TensorView> views = [];
    private readonly Stack<IDisposable> held = [];
    private ulong stream;

    public Device Device => device;

    public TensorView Empty(params ReadOnlySpan<int> shape) => Add(new Shape(shape), DType.F32);

    public TensorView Indices(params ReadOnlySpan<int> shape) => Add(new Shape(shape), DType.I32);

    /// <summary>Standard normal numbers.</summary>
    public TensorView Normal(params ReadOnlySpan<int> shape) => Fill(new Shape(shape), random => (float)random.Normal());

    /// <summary>Numbers in [0, 1).</summary>
    public TensorView Uniform(params ReadOnlySpan<int> shape) => Fill(new Shape(shape), random => (float)random.Uniform());

    public TensorView Constant(float value, params ReadOnlySpan<int> shape) => Fill(new Shape(shape), _ => value);

    /// <summary>A heatmap: uniform to the eighth power, values above 0.97 are peaks of exactly one.</summary>
    public TensorView Heatmap(params ReadOnlySpan<int> shape) => Fill(new Shape(shape), random =>
    {
        float value = MathF.Pow((float)random.Uniform(), 8);
        return value > 0.97f ? 1 : value;
    });

    public TensorView Fill(Shape shape, Func<CounterRandom, float> draw)
    {
        var view = Add(shape, DType.F32);
        if (like is not null)
        {
            device.Copy(like.views[views.Count - 1], view);
            return view;
        }
        var random = new CounterRandom(1, 0, stream++);
        var values = new float[view.Length];
        Parallel.For(0, (values.Length + Chunk - 1) / Chunk, chunk =>
        {
            for (int i = chunk * Chunk; i < Math.Min(values.Length, (chunk + 1) * Chunk); i++)
                values[i] = draw(random.At((ulong)i));
        });
        device.Upload<float>(values, view);
        return view;
    }

    /// <summary>Keeps what has memory of its own until the case is over; the last one goes first.</summary>
    public T Hold<T>(T item) where T : IDisposable
    {
        held.Push(item);
        return item;
    }

    public void Dispose()
    {
        while (held.TryPop(out var item))
            item.Dispose();
        foreach (var view in views)
            device.Return(view);
    }

    private TensorView Add(Shape shape, DType type)
    {
        var view = device.Rent(shape, type, "bench");
        views.Add(view);
        return view;
    }
}
