namespace CudaKernels.Detection;

/// Positions sorted by a key; equal keys keep their order, which the evaluation rules rely on (Array.Sort does not promise it).
internal static class StableOrder
{
    public static int[] Descending(IReadOnlyList<double> keys)
    {
        var order = new int[keys.Count];
        var negated = new double[keys.Count];
        for (var i = 0; i < order.Length; i++)
        {
            order[i] = i;
            negated[i] = -keys[i];
        }
        Array.Sort(order, (a, b) => negated[a].CompareTo(negated[b]) is var byKey && byKey != 0 ? byKey : a.CompareTo(b));
        return order;
    }
}
