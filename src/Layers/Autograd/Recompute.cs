using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Sublinear memory (Chen et al. 2016): of a segment only input, output and <see cref="SegmentMemory"/> are kept; the backward pass runs it a second time, now
/// recording, and walks back through it at once. Gradients are the bits they would be had everything been kept: the second run is on the same inputs and
/// statistics, and the gradients of its nodes come together in the same order.
/// </summary>
internal static class Recompute
{
    /// <summary>
    /// The segment's output. Without a tape this is just a call; a segment inside another is part of the outer one.
    /// </summary>
    /// <param name="x">The one tensor of the scope that the segment reads.</param>
    /// <param name="segment">Computes one tensor, no loss, the same both times. What it changes otherwise belongs into <see cref="StepScope.Once"/>.</param>
    public static Tensor Run(Tensor x, Func<Tensor, Tensor> segment)
    {
        var scope = x.Scope;
        if (!scope.Recording || scope.Segment is not null)
            return segment(x);
        var memory = new SegmentMemory(scope);
        using var first = new StepScope(scope.Device, record: false) { Segment = memory };
        var input = first.Borrow(x.View, x.MadeBy, x.RequiresGradient);
        var made = segment(input);
        if (made.IsLoss)
            throw new TensorException($"Recompute: the segment ends in the loss {made}; leave losses outside of segments");
        if (made.Scope != first || ReferenceEquals(made, input))
            throw new TensorException($"Recompute: the segment expects to make its output of its input but returned {made}, which was there before");
        var y = scope.Adopt(first.Keep(made), made.MadeBy, made.RequiresGradient);
        scope.Record(new SegmentNode(x, y, segment, memory));
        return y;
    }

    private sealed class SegmentNode : Node
    {
        private readonly Tensor x;
        private readonly Func<Tensor, Tensor> segment;
        private readonly SegmentMemory memory;

        public SegmentNode(Tensor x, Tensor y, Func<Tensor, Tensor> segment, SegmentMemory memory) : base(y)
        {
            (this.x, this.segment, this.memory) = (x, segment, memory);
            foreach (var result in memory.Results)
                Save(result);
        }

        public override string Name => nameof(Recompute);

        public override IEnumerable<Parameter> Parameters => memory.Parameters;

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            sink.Return(Output); // its readers are through, and the second run makes it again
            using var second = new StepScope(sink.Device, record: true) { Segment = memory };
            var input = second.Borrow(x.View, x.MadeBy, x.RequiresGradient);
            // What later readers of x have left is added to in here, as it would be without the segment.
            (input.Gradient, x.Gradient) = (x.Gradient, default);
            try
            {
                var y = segment(input);
                second.Backward(y, sink.Take());
            }
            finally
            {
                x.Gradient = input.Gradient;
            }
        }
    }
}
