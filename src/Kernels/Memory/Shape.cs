using System.Diagnostics.CodeAnalysis;

namespace CudaKernels.Kernels;

/// <summary>Up to five dimensions, held inline. Activations are (N,H,W,C), weights (K,R,S,C).</summary>
internal readonly struct Shape : IEquatable<Shape>
{
    private readonly int d0, d1, d2, d3, d4;

    public Shape(params ReadOnlySpan<int> dims)
    {
        if (dims.Length > 5)
            throw new KernelException($"Shape: at most 5 dimensions, got {dims.Length}");
        foreach (int dim in dims)
            if (dim < 0)
                throw new KernelException($"Shape: dimension {dim} is negative");
        Rank = dims.Length;
        d0 = dims.Length > 0 ? dims[0] : 1;
        d1 = dims.Length > 1 ? dims[1] : 1;
        d2 = dims.Length > 2 ? dims[2] : 1;
        d3 = dims.Length > 3 ? dims[3] : 1;
        d4 = dims.Length > 4 ? dims[4] : 1;
    }

    public int Rank { get; }

    public long Length => (long)d0 * d1 * d2 * d3 * d4;

    public int this[int axis] => (uint)axis >= (uint)Rank
        ? throw new KernelException($"Shape: axis {axis} of {this}")
        : axis switch { 0 => d0, 1 => d1, 2 => d2, 3 => d3, _ => d4 };

    /// <summary>The last dimension: channels of an activation.</summary>
    public int Channels => Rank == 0 ? 1 : this[Rank - 1];

    /// <summary>Product of all dimensions but the last.</summary>
    public long Rows => Rank == 0 ? 1 : Channels == 0 ? 0 : Length / Channels;

    public int[] ToArray()
    {
        var dims = new int[Rank];
        for (int i = 0; i < dims.Length; i++)
            dims[i] = this[i];
        return dims;
    }

    public bool Equals(Shape other) =>
        Rank == other.Rank && d0 == other.d0 && d1 == other.d1 && d2 == other.d2 && d3 == other.d3 && d4 == other.d4;

    public override bool Equals([NotNullWhen(true)] object? obj) => obj is Shape other && Equals(other);

    public override int GetHashCode() => HashCode.Combine(Rank, d0, d1, d2, d3, d4);

    public override string ToString() => $"[{string.Join(',', ToArray())}]";

    public static bool operator ==(Shape a, Shape b) => a.Equals(b);

    public static bool operator !=(Shape a, Shape b) => !a.Equals(b);
}
