using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// A named tree of layers. Constructors declare children, parameters and buffers in order; a <see cref="ParameterSet"/> gives
/// them memory. Names are dotted paths, as in published state dictionaries.
/// </summary>
internal abstract class Module
{
    private readonly List<(string Name, Module Child)> children = [];
    private readonly List<(string Name, Parameter Parameter)> parameters = [];
    private readonly List<(string Name, ModuleBuffer Buffer)> buffers = [];

    /// <summary>Batch statistics are used and updated while true.</summary>
    public bool IsTraining { get; private set; } = true;

    /// <summary>Switches the whole tree between training and inference.</summary>
    public void Train(bool training)
    {
        IsTraining = training;
        foreach (var (_, child) in children)
            child.Train(training);
    }

    /// <summary>The parameters of this module alone, without its children's.</summary>
    public IEnumerable<Parameter> OwnParameters => parameters.Select(p => p.Parameter);

    /// <summary>The modules of a kind in the tree, in the order of their declaration.</summary>
    public IEnumerable<T> Modules<T>() where T : Module
    {
        if (this is T own)
            yield return own;
        foreach (var (_, child) in children)
            foreach (var found in child.Modules<T>())
                yield return found;
    }

    public IEnumerable<(string Name, Parameter Parameter)> NamedParameters() => Walk("", m => m.parameters);

    public IEnumerable<(string Name, ModuleBuffer Buffer)> NamedBuffers() => Walk("", m => m.buffers);

    protected T Add<T>(string name, T child) where T : Module
    {
        children.Add((name, child));
        return child;
    }

    protected Parameter AddParameter(string name, Shape shape, Initializer initializer)
    {
        var parameter = new Parameter(shape, initializer);
        parameters.Add((name, parameter));
        return parameter;
    }

    protected ModuleBuffer AddBuffer(string name, Shape shape, float initial)
    {
        var buffer = new ModuleBuffer(shape, initial);
        buffers.Add((name, buffer));
        return buffer;
    }

    private IEnumerable<(string Name, T Item)> Walk<T>(string prefix, Func<Module, List<(string Name, T Item)>> own)
    {
        foreach (var (name, item) in own(this))
            yield return (prefix + name, item);
        foreach (var (name, child) in children)
            foreach (var found in child.Walk(prefix + name + ".", own))
                yield return found;
    }
}

/// <summary>A module with one input and one output.</summary>
internal abstract class UnaryModule : Module
{
    public abstract Tensor Forward(Tensor x);
}

/// <summary>Modules one after another, named "0", "1", ...</summary>
internal sealed class Sequential : UnaryModule
{
    private readonly UnaryModule[] steps;

    public Sequential(params ReadOnlySpan<UnaryModule> steps)
    {
        this.steps = steps.ToArray();
        for (int i = 0; i < this.steps.Length; i++)
            Add(i.ToString(), this.steps[i]);
    }

    public IReadOnlyList<UnaryModule> Steps => steps;

    public override Tensor Forward(Tensor x)
    {
        foreach (var step in steps)
            x = step.Forward(x);
        return x;
    }
}
