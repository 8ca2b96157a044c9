using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Layers;

/// <summary>
/// Owns every tensor made inside it and returns all of them when it closes. With <paramref name="record"/> the operations
/// are taped for <see cref="Backward(ReadOnlySpan{Tensor})"/>; without, only values are computed.
/// </summary>
internal sealed class StepScope(Device device, bool record) : IDisposable
{
    private readonly HashSet<Tensor> owned = [];
    private Tape? tape;
    private bool closed;

    public Device Device { get; } = device;

    public bool Recording => record;

    /// <summary>Set while a segment of <see cref="Recompute"/> runs in this scope, for the first or the second time.</summary>
    public SegmentMemory? Segment { get; init; }

    /// <summary>
    /// A backward pass will follow, from the tape of this scope or from that of the segment's second run. What is computed must then be the same bits in
    /// either run, so operations choose their way by this and not by <see cref="Recording"/>.
    /// </summary>
    public bool Differentiable => record || Segment is not null;

    /// <summary>The operations on the tape, in the order they ran.</summary>
    public IReadOnlyList<Node> Recorded => tape?.Nodes ?? [];

    private Tape Tape => tape ??= new Tape(this);

    /// <summary>A new tensor with undefined contents.</summary>
    public Tensor Rent(Shape shape, string madeBy, bool requiresGradient = false, DType type = DType.F32) =>
        Own(new Tensor(Memory(shape, type, madeBy), this, madeBy, requiresGradient && Differentiable));

    /// <summary>The scalar a loss writes its value to.</summary>
    public Tensor RentLoss(string madeBy, bool requiresGradient) =>
        Own(new Tensor(Memory(new Shape(1), DType.F32, madeBy), this, madeBy, requiresGradient && Differentiable) { IsLoss = true });

    /// <summary>A tensor in the memory of another, which dies: for operations that work in place. Only without a tape.</summary>
    public Tensor TakeOver(Tensor tensor, string madeBy, bool requiresGradient = false)
    {
        if (record)
            throw new TensorException($"{madeBy}: cannot work in place on {tensor} while the scope records");
        if (!owned.Remove(tensor))
            throw new TensorException($"{madeBy}: cannot work in place on {tensor}, which does not belong to this scope or is kept");
        return Own(new Tensor(tensor.End(madeBy + " took its memory over"), this, madeBy, requiresGradient && Differentiable));
    }

    /// <summary>A tensor with the given contents; <paramref name="madeBy"/> names it in errors.</summary>
    public Tensor Upload<T>(ReadOnlySpan<T> values, Shape shape, string madeBy, DType type = DType.F32) where T : unmanaged
    {
        var tensor = Rent(shape, madeBy, type: type);
        Device.Upload(values, tensor.View);
        return tensor;
    }

    /// <summary>A tensor over memory that its owner keeps, and keeps until the scope is closed.</summary>
    public Tensor Borrow(TensorView view, string madeBy, bool requiresGradient = false) => new(view, this, madeBy, requiresGradient);

    /// <summary>A tensor over memory that was taken out of another scope; it is this one's from here on.</summary>
    public Tensor Adopt(TensorView memory, string madeBy, bool requiresGradient = false) => Own(new Tensor(memory, this, madeBy, requiresGradient));

    /// <summary>Whether this is the second run of a recomputed segment.</summary>
    public bool Repeats => Segment is not null && Recording;

    /// <summary>
    /// Results that must be made once though a recomputed segment runs twice, because making them changes something (running averages, the counter of random
    /// draws) or takes other ranks: the second run does not call <paramref name="make"/> and gets what the first has made.
    /// </summary>
    public Tensor[] Once(Func<Tensor[]> make) => Segment is null ? make() : Segment.Once(this, make);

    /// <summary>Appends the node to the tape if its output needs a gradient; else what it saved goes back at once.</summary>
    public void Record(Node node)
    {
        if (record && node.Output.RequiresGradient)
            Tape.Add(node);
        else
        {
            Segment?.Passed(node);
            node.ReleaseSaved(this);
        }
    }

    /// <summary>Gradients of the sum of the losses, into parameters and every tensor that requires one.</summary>
    public void Backward(params ReadOnlySpan<Tensor> losses) => Backward(losses, null);

    /// <param name="losses">What is differentiated.</param>
    /// <param name="completed">Told of every parameter that took part as soon as its gradient has had its last contribution.</param>
    public void Backward(ReadOnlySpan<Tensor> losses, Action<Parameter>? completed)
    {
        if (!record)
            throw new TensorException("Backward: this scope does not record; open it with record: true");
        Tape.Backward(losses, completed);
    }

    /// <summary>As for losses, from a tensor whose gradient is given. The gradient's memory is the tape's from here on.</summary>
    public void Backward(Tensor output, TensorView gradient) => Tape.Backward(output, gradient);

    /// <summary>Takes the tensor's memory out of the scope; the caller returns it to the device when done.</summary>
    public TensorView Keep(Tensor tensor)
    {
        if (!owned.Remove(tensor))
            throw new TensorException($"Keep: {tensor} does not belong to this scope or is dead");
        return tensor.View;
    }

    public void Dispose()
    {
        if (closed)
            return;
        closed = true;
        tape?.Clear();
        foreach (var tensor in owned)
        {
            if (!tensor.Gradient.IsNone)
                Device.Return(tensor.Gradient);
            Device.Return(tensor.End("its step scope is closed"));
        }
        owned.Clear();
    }

    private Tensor Own(Tensor tensor)
    {
        owned.Add(tensor);
        return tensor;
    }

    private TensorView Memory(Shape shape, DType type, string madeBy) => closed
        ? throw new TensorException($"{madeBy}: its step scope is closed; open a new one for every step")
        : Device.Rent(shape, type, madeBy);

    internal void Release(Tensor tensor, string reason)
    {
        if (owned.Remove(tensor))
            Device.Return(tensor.End(reason));
    }
}
