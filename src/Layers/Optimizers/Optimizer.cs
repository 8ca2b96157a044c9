using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Layers;

/// <summary>
/// Updates a parameter set from its gradients. One step is: norm and finite flag of all gradients, clip factor, then one kernel
/// per range. The kernels read factor and flag on the device: a step whose gradients are not finite changes nothing, neither
/// parameters nor state nor (see <see cref="ParameterSet.BeginGradients"/>) running statistics, and is counted.
/// </summary>
/// <param name="set">What to update.</param>
/// <param name="clipNorm">Greatest L2 norm of all gradients together; larger ones are scaled down. 0 does not clip.</param>
internal abstract class Optimizer(ParameterSet set, float clipNorm) : IDisposable
{
    private readonly TensorView norm = set.Device.Rent(new Shape(2), DType.F32, "gradient norm");
    private readonly TensorView guard = set.Device.Rent(new Shape(2), DType.F32, "gradient guard");
    private readonly List<(string Name, TensorView Block)> blocks = [];
    private bool pending;
    private float lastNorm;
    private bool lastFinite = true;
    private long steps, skipped;

    public ParameterSet Set { get; } = set;

    /// <summary>Norm of all gradients at the last step, before clipping.</summary>
    public float LastNorm => Collected(ref lastNorm);

    /// <summary>False when the last step was left out because its gradients were not finite.</summary>
    public bool LastFinite => Collected(ref lastFinite);

    /// <summary>Steps that took effect. Set it, and the blocks of <see cref="State"/>, to go on from a checkpoint.</summary>
    public long Steps
    {
        get => Collected(ref steps);
        set
        {
            Collect();
            steps = value;
        }
    }

    /// <summary>Steps left out.</summary>
    public long Skipped => Collected(ref skipped);

    /// <summary>Everything a checkpoint needs besides <see cref="Steps"/>: a view per block and parameter, named "block.parameter".</summary>
    public IEnumerable<(string Name, TensorView View)> State => blocks.SelectMany(b => Set.SlicesOf(b.Block, b.Name + "."));

    /// <summary>The blocks of <see cref="State"/>, each as long as the parameters.</summary>
    public IEnumerable<TensorView> Blocks => blocks.Select(b => b.Block);

    protected Device Device => Set.Device;

    /// <summary>Updates all parameters once; bias correction and warm-up of the rate count only steps that took effect.</summary>
    public void Step(float learningRate)
    {
        Collect();
        Device.Run(new GradientNorm(Set.Gradients, norm));
        Device.Run(new ClipFactor(norm, guard, clipNorm > 0 ? clipNorm : float.PositiveInfinity));
        foreach (var range in Set.Ranges)
            if (range.Length > 0)
                Update(range, learningRate * range.RateFactor, steps, guard);
        Set.RestoreBuffers(guard);
        pending = true;
    }

    public void Dispose()
    {
        Device.Return(norm);
        Device.Return(guard);
        foreach (var (_, block) in blocks)
            Device.Return(block);
    }

    /// <param name="stepsBefore">Steps that have taken effect so far.</param>
    protected abstract void Update(ParameterRange range, float rate, long stepsBefore, TensorView guard);

    /// <summary>A block of state beside the parameters, zero at first.</summary>
    protected TensorView AddState(string name)
    {
        var block = Device.Rent(Set.Values.Shape, DType.F32, name);
        Device.Fill(block, 0);
        blocks.Add((name, block));
        return block;
    }

    protected static TensorView Part(TensorView block, ParameterRange range) =>
        block.Slice(range.Start, new Shape(checked((int)range.Length)));

    private ref T Collected<T>(ref T field)
    {
        Collect();
        return ref field;
    }

    /// <summary>Reads back what the last step did; put off to here so that a step itself never waits for the device.</summary>
    private void Collect()
    {
        if (!pending)
            return;
        pending = false;
        Span<float> report = stackalloc float[2];
        Device.Download(norm, report);
        lastNorm = report[0];
        lastFinite = report[1] != 0;
        if (lastFinite)
            steps++;
        else
            skipped++;
    }
}
