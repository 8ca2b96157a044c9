using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>Fills a parameter's values at birth.</summary>
/// <param name="values">All elements in storage order.</param>
/// <param name="shape">Convolution weights are (K,R,S,C), linear weights (out,in).</param>
/// <param name="random">A stream of its own for every parameter.</param>
internal delegate void Initializer(Span<float> values, Shape shape, CounterRandom random);

/// <summary>A trainable array: a slice of its <see cref="ParameterSet"/>'s flat blocks.</summary>
internal sealed class Parameter(Shape shape, Initializer initializer)
{
    private TensorView value, gradient;

    public Shape Shape { get; } = shape;

    public Initializer Initializer { get; } = initializer;

    /// <summary>Dotted name in the module tree; empty until a <see cref="ParameterSet"/> has placed the parameter.</summary>
    public string Name { get; private set; } = "";

    public TensorView Value => Placed(value);

    public TensorView Gradient => Placed(gradient);

    /// <summary>False at the start of a step: the first gradient overwrites.</summary>
    internal bool GradientWritten { get; set; }

    internal void Place(string name, TensorView valueSlice, TensorView gradientSlice)
    {
        Name = name;
        value = valueSlice;
        gradient = gradientSlice;
    }

    private TensorView Placed(TensorView view) => view.IsNone
        ? throw new TensorException($"Parameter {Shape}: has no memory yet; build a ParameterSet over the module first")
        : view;
}
