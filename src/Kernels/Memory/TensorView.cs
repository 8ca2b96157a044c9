namespace CudaKernels.Kernels;

/// <summary>
/// A dense, row-major window on a <see cref="DeviceBuffer"/>; owns nothing. Kernels see only views.
/// <c>default</c> is "no view", for optional arguments.
/// </summary>
internal readonly unsafe struct TensorView(DeviceBuffer buffer, long offset, Shape shape, DType type)
{
    public DeviceBuffer Buffer { get; } = buffer;

    /// <summary>First element, counted in elements of <see cref="Type"/>.</summary>
    public long Offset { get; } = offset;

    public Shape Shape { get; } = shape;

    public DType Type { get; } = type;

    public bool IsNone => Buffer is null;

    public long Length => IsNone ? 0 : Shape.Length;

    public long Bytes => Length * Type.Size();

    public float* F32 => (float*)Pointer(DType.F32);

    public int* I32 => (int*)Pointer(DType.I32);

    public byte* U8 => (byte*)Pointer(DType.U8);

    public ushort* BF16 => (ushort*)Pointer(DType.BF16);

    public Span<float> AsFloats() => new(F32, checked((int)Length));

    public Span<int> AsInts() => new(I32, checked((int)Length));

    public Span<byte> AsBytes() => new(U8, checked((int)Length));

    /// <summary>The same elements under another shape of equal length.</summary>
    public TensorView Reshape(Shape to) => to.Length == Length
        ? new(Buffer, Offset, to, Type)
        : throw new KernelException($"Reshape: {this} has {Length} elements, {to} wants {to.Length}");

    /// <summary>Elements [start, start + shape.Length) in row-major order, as a view of their own.</summary>
    public TensorView Slice(long start, Shape to) => start >= 0 && start + to.Length <= Length
        ? new(Buffer, Offset + start, to, Type)
        : throw new KernelException($"Slice: [{start}, {start + to.Length}) lies outside {this}");

    public bool Overlaps(TensorView other) => !IsNone && ReferenceEquals(Buffer, other.Buffer)
        && Offset * Type.Size() < other.Offset * other.Type.Size() + other.Bytes
        && other.Offset * other.Type.Size() < Offset * Type.Size() + Bytes;

    public override string ToString() => IsNone ? "none" : Type.Label() + Shape;

    private void* Pointer(DType wanted) => IsNone ? null
        : Type == wanted ? (byte*)Buffer.Address + Offset * Type.Size()
        : throw new KernelException($"TensorView: {this} was read as {wanted.Label()}");
}
