namespace CudaKernels.Comm;

/// <summary>A group of ranks cannot go on. The message names the rank at fault, the operation during which this came out, and what happened.</summary>
public sealed class CollectiveException : Exception
{
    internal CollectiveException(int rank, string message, Exception? inner = null) : base(message, inner) => Rank = rank;

    /// <summary>The rank at fault.</summary>
    public int Rank { get; }
}
