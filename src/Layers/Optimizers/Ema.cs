using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Exponential moving average of all parameters and buffers: a ← d·a + (1 − d)·w over the flat blocks. Plain, d is the decay and
/// the average starts at the values of its birth. Unbiased, update t = 1, 2, ... uses d·(1 − d^(t−1))/(1 − d^t), which gives the
/// weights seen so far their exponential shares and the initial ones none, so it is useful from the first update.
/// </summary>
internal sealed class Ema : IDisposable
{
    private readonly ParameterSet set;
    private readonly double decay;
    private readonly bool unbiased;
    private readonly TensorView values, buffers;

    public Ema(ParameterSet set, double decay, bool unbiased = true)
    {
        (this.set, this.decay, this.unbiased) = (set, decay, unbiased);
        values = Copy(set.Values);
        buffers = Copy(set.Buffers);
    }

    /// <summary>Updates so far. Set it, and the blocks of <see cref="State"/>, to go on from a checkpoint.</summary>
    public long Updates { get; set; }

    /// <summary>The averages by the names of parameters and buffers.</summary>
    public IEnumerable<(string Name, TensorView View)> State => set.SlicesOf(values).Concat(set.BufferSlicesOf(buffers));

    /// <summary>The blocks of <see cref="State"/>: parameters, buffers.</summary>
    public IReadOnlyList<TensorView> Blocks => [values, buffers];

    /// <summary>Takes the present parameters and buffers into the average.</summary>
    public void Update()
    {
        Updates++;
        double share = unbiased ? decay * (1 - Math.Pow(decay, Updates - 1)) / (1 - Math.Pow(decay, Updates)) : decay;
        set.Device.Run(new EmaUpdate(values, set.Values, share));
        set.Device.Run(new EmaUpdate(buffers, set.Buffers, share));
    }

    /// <summary>Exchanges the set's contents and the averages; a second call exchanges them back, bit for bit.</summary>
    public void Swap()
    {
        Exchange(values, set.Values);
        Exchange(buffers, set.Buffers);
    }

    public void Dispose()
    {
        set.Device.Return(values);
        set.Device.Return(buffers);
    }

    private TensorView Copy(TensorView from)
    {
        var copy = set.Device.Rent(from.Shape, DType.F32, nameof(Ema));
        set.Device.Copy(from, copy);
        return copy;
    }

    private void Exchange(TensorView a, TensorView b)
    {
        var before = Copy(a);
        set.Device.Copy(b, a);
        set.Device.Copy(before, b);
        set.Device.Return(before);
    }
}
