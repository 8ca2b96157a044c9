namespace CudaKernels.Detection;

/// <summary>Bytes of one step of a chain.</summary>
/// <param name="Held">What it keeps for its backward pass, its output included.</param>
/// <param name="Output">Its output alone.</param>
/// <param name="Gradients">What its backward pass takes beside.</param>
internal readonly record struct StepBytes(long Held, long Output, long Gradients);

/// <summary>
/// Cuts a chain of steps into recomputed segments such that the most that is held at any time is least. On the way back through a segment that is: the outputs of
/// the segments in front of it, everything inside it, and its gradients; at the turn: all outputs, and what lies behind the chain. For a limit L
/// least(s, i), the fewest bytes of outputs that s segments over the first i steps leave without passing L, is
/// min over j of least(s−1, j) + output(i) where least(s−1, j) + held(j..i) + gradients(j..i) ≤ L; L is found by bisection.
/// </summary>
internal static class SegmentCuts
{
    private const long Unreachable = long.MaxValue;

    /// <param name="chain">The steps to be recomputed.</param>
    /// <param name="outputs">How many steps lead to outputs of the chain; segments end there.</param>
    /// <param name="behind">Bytes that are kept behind the chain.</param>
    /// <param name="segments">How many.</param>
    /// <returns>How many steps lead to the end of each segment; null where there are fewer steps, or more outputs, than segments.</returns>
    public static int[]? Find(IReadOnlyList<StepBytes> chain, IReadOnlyCollection<int> outputs, long behind, int segments)
    {
        long high = behind + chain.Sum(s => s.Held + s.Output + s.Gradients), low = 0;
        var best = Within(high);
        while (best is not null && high - low > high / 1000)
        {
            long middle = low + (high - low) / 2;
            if (Within(middle) is { } better)
                (best, high) = (better, middle);
            else
                low = middle;
        }
        return best;

        int[]? Within(long limit)
        {
            var least = new long[segments + 1, chain.Count + 1];
            var from = new int[segments + 1, chain.Count + 1];
            for (int s = 0; s <= segments; s++)
                for (int i = 0; i <= chain.Count; i++)
                    least[s, i] = s == 0 && i == 0 ? 0 : Unreachable;
            for (int s = 1; s <= segments; s++)
                for (int i = 1; i <= chain.Count; i++)
                {
                    long held = 0, gradients = 0;
                    for (int j = i - 1; j >= 0; j--)
                    {
                        held += chain[j].Held;
                        gradients = Math.Max(gradients, chain[j].Gradients);
                        if (least[s - 1, j] != Unreachable && least[s - 1, j] + held + gradients <= limit && least[s - 1, j] + chain[i - 1].Output < least[s, i])
                            (least[s, i], from[s, i]) = (least[s - 1, j] + chain[i - 1].Output, j);
                        if (outputs.Contains(j))
                            break;
                    }
                }
            if (least[segments, chain.Count] > limit - behind)
                return null;
            var ends = new int[segments];
            for (int s = segments, i = chain.Count; s > 0; i = from[s--, i])
                ends[s - 1] = i;
            return ends;
        }
    }
}
