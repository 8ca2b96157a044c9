using System.Security.Cryptography;
using System.Text;
using CudaKernels.Comm;

namespace CudaKernels.Detection;

/// <summary>Ranks can train as one only if they train the same: they compare program, settings and data before the first step.</summary>
internal static class RankAgreement
{
    private static readonly string[] MayDiffer = ["data", "workers"]; // where the pictures lie, and how fast they are read

    /// <exception cref="CollectiveException">A rank differs from the first; names rank and setting. All ranks get the same.</exception>
    public static void Check(RankGroup ranks, TrainConfig config, IDataset data)
    {
        if (ranks.Size == 1)
            return;
        string[] own =
        [
            $"version: {typeof(RankAgreement).Assembly.GetName().Version}",
            .. ConfigKeys.ToYaml(config).Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => !MayDiffer.Contains(line.Split(':')[0])),
            $"precision: {ranks.Device.Precision}",
            $"data: {data.Count} pictures of {data.Classes.Count} classes, {Digest(data)}",
        ];
        string[][] said = [.. ranks.Gather(string.Join('\n', own)).Select(words => words.Split('\n'))];
        for (int rank = 1; rank < said.Length; rank++)
            foreach (var (first, second) in said[0].Zip(said[rank]))
                if (first != second)
                    throw new CollectiveException(rank, $"rank {rank} has {second.Trim()} but rank 0 has {first.Trim()}; start all ranks with the same program, settings and data");
    }

    /// <summary>Of classes and annotations in their order.</summary>
    private static string Digest(IDataset data)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(string.Join('\n', data.Classes)));
        for (int i = 0; i < data.Count; i++)
        {
            var sample = data.Read(i);
            hash.AppendData(Encoding.UTF8.GetBytes(FormattableString.Invariant(
                $"\n{sample.Id} {sample.Width} {sample.Height} {string.Join(' ', sample.Objects.Select(o => FormattableString.Invariant($"{o.Class} {o.Box.X1:R} {o.Box.Y1:R} {o.Box.X2:R} {o.Box.Y2:R} {o.Crowd}")))}")));
        }
        return Convert.ToHexString(hash.GetHashAndReset())[..16];
    }
}
