using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>Operations without parameters or state.</summary>
internal static partial class Functional
{
    /// <summary>max(x, 0).</summary>
    public static Tensor Relu(Tensor x) => Activate(nameof(Relu), x, Activation.Relu);

    /// <summary>x where positive, else slope·x; slope ≥ 0.</summary>
    public static Tensor LeakyRelu(Tensor x, float slope) => Activate(nameof(LeakyRelu), x, Activation.LeakyRelu(slope));

    public static Tensor Sigmoid(Tensor x)
    {
        var y = Like(nameof(Sigmoid), x);
        x.Scope.Device.Run(new SigmoidForward(x.View, y.View));
        if (y.RequiresGradient)
            y.Scope.Record(new SigmoidNode(x, y));
        return y;
    }

    /// <summary>factor·x.</summary>
    public static Tensor Scale(Tensor x, float factor)
    {
        var y = Like(nameof(Scale), x);
        x.Scope.Device.Run(new Scale(x.View, y.View, factor));
        if (y.RequiresGradient)
            y.Scope.Record(new ScaleNode(x, y, factor));
        return y;
    }

    /// <summary>a + b, equal shapes.</summary>
    public static Tensor Add(Tensor a, Tensor b)
    {
        if (ReferenceEquals(a, b))
            return Scale(a, 2);
        Operands.Value(nameof(Add), "a", a);
        Operands.Value(nameof(Add), "b", b);
        Operands.SameShape(nameof(Add), "a", a, "b", b);
        var y = a.Scope.Rent(a.Shape, nameof(Add), a.RequiresGradient || b.RequiresGradient);
        a.Scope.Device.Run(new AddForward(a.View, b.View, y.View));
        if (y.RequiresGradient)
            y.Scope.Record(new AddNode(a, b, y));
        return y;
    }

    private static Tensor Activate(string operation, Tensor x, Activation activation)
    {
        var y = Like(operation, x);
        x.Scope.Device.Run(new ActivationForward(x.View, y.View, activation));
        if (y.RequiresGradient)
            y.Scope.Record(new ActivationNode(operation, x, y, activation));
        return y;
    }

    private static Tensor Like(string operation, Tensor x)
    {
        Operands.Value(operation, "x", x);
        return x.Scope.Rent(x.Shape, operation, x.RequiresGradient);
    }

    private sealed class AddNode(Tensor a, Tensor b, Tensor y) : Node(y)
    {
        public override string Name => nameof(Add);

        public override NodeTrace Trace => new(a, b);

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            sink.Give(a);
            sink.Give(b);
        }
    }

    /// <summary>A node whose input gradient is pointwise in the output gradient: in place when the memory can be handed on.</summary>
    private abstract class PointwiseNode(Tensor x, Tensor y) : Node(y)
    {
        protected Tensor Input => x;

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            if (sink.CanGive(x))
            {
                Write(sink.Device, gradient, gradient, accumulate: false);
                sink.Give(x);
                return;
            }
            var (gradX, add) = sink.For(x);
            Write(sink.Device, gradient, gradX, add);
        }

        protected abstract void Write(Kernels.Devices.Device device, TensorView gradient, TensorView gradX, bool accumulate);
    }

    private sealed class ActivationNode(string name, Tensor x, Tensor y, Activation activation) : PointwiseNode(x, y)
    {
        public override string Name => name;

        public override NodeTrace Trace => new(Input) { ["activation"] = activation };

        protected override void Write(Kernels.Devices.Device device, TensorView gradient, TensorView gradX, bool accumulate) =>
            device.Run(new ActivationBackward(Output.View, gradient, gradX, activation, accumulate));
    }

    private sealed class SigmoidNode(Tensor x, Tensor y) : PointwiseNode(x, y)
    {
        public override string Name => nameof(Sigmoid);

        public override NodeTrace Trace => new(Input);

        protected override void Write(Kernels.Devices.Device device, TensorView gradient, TensorView gradX, bool accumulate) =>
            device.Run(new SigmoidBackward(Output.View, gradient, gradX, accumulate));
    }

    private sealed class ScaleNode(Tensor x, Tensor y, float factor) : PointwiseNode(x, y)
    {
        public override string Name => nameof(Scale);

        public override NodeTrace Trace => new(Input) { ["factor"] = factor };

        protected override void Write(Kernels.Devices.Device device, TensorView gradient, TensorView gradX, bool accumulate)
        {
            // gradX += factor·gradient in two steps; the gradient is this node's own and is dropped afterwards.
            device.Run(new Scale(gradient, accumulate ? gradient : gradX, factor));
            if (accumulate)
                device.Run(new AddInto(gradient, gradX));
        }
    }
}
