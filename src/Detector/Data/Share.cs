namespace CudaKernels.Detection;

/// <summary>A consecutive part of something that several share: <paramref name="Count"/> places from <paramref name="Start"/> on.</summary>
internal readonly record struct Share(int Start, int Count)
{
    public int End => Start + Count;

    /// <summary>Part number <paramref name="part"/> of <paramref name="parts"/> that differ in length by one at most, the longer ones first: 8 in three is 3 + 3 + 2.</summary>
    public static Share Of(int whole, int parts, int part)
    {
        int length = whole / parts, longer = whole % parts;
        return new(part * length + Math.Min(part, longer), length + (part < longer ? 1 : 0));
    }
}
