namespace CudaKernels.Detection;

/// <summary>Finds the name a user may have meant.</summary>
internal static class Nearest
{
    /// <summary>The candidate with the smallest edit distance (Levenshtein) to <paramref name="name"/>.</summary>
    public static string To(string name, IEnumerable<string> candidates) => candidates.MinBy(c => Distance(name, c)) ?? "";

    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int cost = diagonal + (char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(cost, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[b.Length];
    }
}
