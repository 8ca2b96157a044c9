using CudaKernels.Comm;

namespace CudaKernels.Detection;

/// <summary>How the pictures of a step are divided: among ranks, among the pieces of a rank, and among groups that share the statistics of batch norm.</summary>
internal static class BatchShares
{
    /// <summary>Ranks that share the statistics of their batch norms: all of them, or as many as have the pictures of bn_group at a time.</summary>
    /// <exception cref="DataException">A rank or a piece would be without pictures, or the groups are not equal.</exception>
    public static int RanksPerNorm(TrainConfig config, int ranks)
    {
        int pieces = ranks * config.Accumulate;
        if (config.Batch < pieces)
            throw new DataException($"configuration: batch expects at least {pieces}, one picture for each of {ranks} ranks{(config.Accumulate > 1 ? $" and {config.Accumulate} pieces" : "")}, but is {config.Batch}");
        if (config.BnGroup == 0)
            return ranks;
        return config.Batch % pieces == 0 ? SyncBatchNorm.RanksPerGroup(config.BnGroup, config.Batch / pieces, ranks)
            : throw new DataException($"configuration: bn_group expects a batch that {ranks} ranks{(config.Accumulate > 1 ? $" of {config.Accumulate} pieces" : "")} share evenly but batch is {config.Batch}; choose a multiple of {pieces}, or leave bn_group out");
    }

    public static string Describe(TrainConfig config, RankGroup ranks)
    {
        int perNorm = RanksPerNorm(config, ranks.Size);
        return $"{ranks.Size} rank{(ranks.Size > 1 ? "s, the first" : "")} with {ranks.ShareOf(config.Batch).Count} of the {config.Batch} pictures of a step"
            + (config.Accumulate > 1 ? $" in {config.Accumulate} pieces; the gradient is that of the whole batch, but batch norm sees a piece" : "; batch norm sees the pictures")
            + $" of {(perNorm == 1 ? "one rank" : $"{perNorm} ranks")} at a time";
    }

    /// <summary>What is different from before for a run that goes on on another number of ranks.</summary>
    public static string DescribeChange(TrainConfig config, int before, RankGroup ranks) =>
        $"the run was on {before} rank{(before > 1 ? "s" : "")} and goes on on {ranks.Size}: the first has {ranks.ShareOf(config.Batch).Count} of the {config.Batch} pictures of a step "
        + $"instead of {Share.Of(config.Batch, before, 0).Count}; sums in another order differ by rounding"
        + (config.Accumulate > 1 ? ", and batch norm sees other pictures at a time" : "");
}
