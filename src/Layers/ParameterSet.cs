using System.Text.RegularExpressions;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Layers;

/// <summary>Parameters whose dotted name matches <paramref name="Pattern"/> get their own rate and decay factors.</summary>
internal sealed record GroupRule(string Pattern, float RateFactor, float DecayFactor);

/// <summary>A run of the flat blocks that shares rate and decay factors.</summary>
internal readonly record struct ParameterRange(long Start, long Length, float RateFactor, float DecayFactor);

/// <summary>
/// All parameters of a module tree in one flat float32 block with a parallel block of gradients, and its buffers in a third.
/// Optimiser step, average, norm, finite check and checkpoint are then a few kernels over flat memory. Parameters lie group by
/// group, each from a 64-byte boundary; the padding between them stays zero in every block.
/// </summary>
internal sealed class ParameterSet : IDisposable
{
    private const int Alignment = 16;

    private readonly TensorView buffersBefore;

    /// <param name="root">Module tree; its parameters must not have been placed before.</param>
    /// <param name="device">Where the blocks live.</param>
    /// <param name="seed">Seed of the initial values; parameter i draws from stream i.</param>
    /// <param name="rules">First matching rule wins; no match means factors of one.</param>
    public ParameterSet(Module root, Device device, ulong seed, IReadOnlyList<GroupRule>? rules = null)
    {
        Device = device;
        Named = [.. root.NamedParameters()];
        NamedBuffers = [.. root.NamedBuffers()];
        var compiled = (rules ?? []).Select(r => (Rule: r, Regex: new Regex(r.Pattern, RegexOptions.CultureInvariant))).ToArray();
        var grouped = Named.Select((n, i) => (n.Name, n.Parameter, Index: i, Factors: FactorsOf(n.Name)))
            .GroupBy(n => n.Factors).ToArray();

        long total = grouped.Sum(g => g.Sum(n => Padded(n.Parameter.Shape.Length)));
        Values = Block(total, "parameters");
        Gradients = Block(total, "gradients");
        var ranges = new List<ParameterRange>();
        long start = 0;
        foreach (var group in grouped)
        {
            long first = start;
            foreach (var (name, parameter, index, _) in group)
            {
                if (parameter.Name != "")
                    throw new TensorException($"ParameterSet: {name} already has memory as {parameter.Name}; give every module one place in one set");
                parameter.Place(name, Values.Slice(start, parameter.Shape), Gradients.Slice(start, parameter.Shape));
                if (device.HoldsValues)
                {
                    var initial = new float[parameter.Shape.Length];
                    parameter.Initializer(initial, parameter.Shape, new CounterRandom(seed, 0, (ulong)index));
                    device.Upload<float>(initial, parameter.Value);
                }
                start += Padded(parameter.Shape.Length);
            }
            ranges.Add(new(first, start - first, group.Key.Rate, group.Key.Decay));
        }
        Ranges = ranges;

        Buffers = Block(NamedBuffers.Sum(b => Padded(b.Buffer.Shape.Length)), "buffers");
        buffersBefore = Block(Buffers.Length, "buffers before the step");
        start = 0;
        foreach (var (_, buffer) in NamedBuffers)
        {
            buffer.Place(Buffers.Slice(start, buffer.Shape));
            device.Fill(buffer.Value, buffer.Initial);
            start += Padded(buffer.Shape.Length);
        }

        (float Rate, float Decay) FactorsOf(string name)
        {
            foreach (var (rule, regex) in compiled)
                if (regex.IsMatch(name))
                    return (rule.RateFactor, rule.DecayFactor);
            return (1, 1);
        }
    }

    public Device Device { get; }

    public IReadOnlyList<(string Name, Parameter Parameter)> Named { get; }

    public IReadOnlyList<(string Name, ModuleBuffer Buffer)> NamedBuffers { get; }

    /// <summary>Flat f32 block of all parameters, padding included.</summary>
    public TensorView Values { get; }

    /// <summary>Flat f32 block of all gradients, laid out as <see cref="Values"/>.</summary>
    public TensorView Gradients { get; }

    /// <summary>Flat f32 block of all buffers.</summary>
    public TensorView Buffers { get; }

    public IReadOnlyList<ParameterRange> Ranges { get; }

    /// <summary>Trainable numbers, padding not counted.</summary>
    public long Count => Named.Sum(n => n.Parameter.Shape.Length);

    /// <summary>
    /// Starts a step: the next gradient of each parameter overwrites. The buffers are remembered, because a forward pass
    /// changes them before anyone can know whether the step will be good.
    /// </summary>
    public void BeginGradients()
    {
        Device.Copy(Buffers, buffersBefore);
        foreach (var (_, parameter) in Named)
            parameter.GradientWritten = false;
    }

    /// <summary>Ends a backward pass: parameters that no gradient reached get zeros.</summary>
    public void CompleteGradients()
    {
        foreach (var (_, parameter) in Named)
            CompleteGradient(parameter);
    }

    /// <summary>Gives one parameter zeros if no gradient has reached it.</summary>
    public void CompleteGradient(Parameter parameter)
    {
        if (parameter.GradientWritten)
            return;
        Device.Fill(parameter.Gradient, 0);
        parameter.GradientWritten = true;
    }

    /// <summary>Puts the buffers back to where the step began if the guard says that its gradients are not finite.</summary>
    public void RestoreBuffers(TensorView guard) => Device.Run(new RestoreUnlessFinite(buffersBefore, Buffers, guard));

    /// <summary>Puts the buffers back to where the step began, for a step that ends before its gradients.</summary>
    public void RestoreBuffers() => Device.Copy(buffersBefore, Buffers);

    /// <summary>Whether all parameters and buffers are numbers: gradients that are finite can still take them over the edge.</summary>
    public bool AreFinite()
    {
        return IsFinite(Values) && IsFinite(Buffers);

        bool IsFinite(TensorView block)
        {
            var norm = Device.Rent(new Shape(2), DType.F32, nameof(AreFinite));
            try
            {
                Device.Run(new GradientNorm(block, norm));
                Span<float> values = stackalloc float[2];
                Device.Download(norm, values);
                return values[1] != 0;
            }
            finally
            {
                Device.Return(norm);
            }
        }
    }

    /// <summary>The parameters' parts of a block laid out as <see cref="Values"/>, by prefixed name.</summary>
    public IEnumerable<(string Name, TensorView View)> SlicesOf(TensorView block, string prefix = "") =>
        Named.Select(n => (prefix + n.Name, block.Slice(n.Parameter.Value.Offset - Values.Offset, n.Parameter.Shape)));

    /// <summary>The buffers' parts of a block laid out as <see cref="Buffers"/>, by name.</summary>
    public IEnumerable<(string Name, TensorView View)> BufferSlicesOf(TensorView block) =>
        NamedBuffers.Select(n => (n.Name, block.Slice(n.Buffer.Value.Offset - Buffers.Offset, n.Buffer.Shape)));

    public void Dispose()
    {
        Device.Return(Values);
        Device.Return(Gradients);
        Device.Return(Buffers);
        Device.Return(buffersBefore);
    }

    private static long Padded(long length) => (length + Alignment - 1) / Alignment * Alignment;

    private TensorView Block(long length, string owner)
    {
        var block = Device.Rent(new Shape(checked((int)length)), DType.F32, owner);
        Device.Fill(block, 0);
        return block;
    }
}
