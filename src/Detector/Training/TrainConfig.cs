namespace CudaKernels.Detection;

/// <summary>Which random changes a training picture goes through.</summary>
internal enum Augmentation
{
    /// <summary>Resize and horizontal flip, as the 1x and 2x recipes.</summary>
    Flip,

    /// <summary>Photometric distortion, expand, min-IoU crop, resize and flip, as the 10x recipe.</summary>
    Full,
}

/// <summary>What happens when a loss or gradient is not finite.</summary>
internal enum NonFinitePolicy
{
    /// <summary>End the run; the last checkpoint stays whole.</summary>
    Stop,

    /// <summary>Leave the step out and go on.</summary>
    Skip,

    /// <summary>Go back to the last checkpoint and on with the next pictures.</summary>
    Rollback,
}

/// <summary>What drops of the rate are counted in.</summary>
internal enum DropUnit
{
    Epoch,
    Step,
}

internal enum OptimizerKind
{
    Sgd,
    AdamW,
}

/// <summary>
/// Everything that decides a training run. Each property is a key of the configuration file and of <c>key=value</c> arguments,
/// written in snake case; see <see cref="ConfigKeys"/>. Defaults are the TTFNet recipe (detectors.md 3.5).
/// </summary>
internal sealed record TrainConfig
{
    /// <summary>VOC folder, YOLO data.yaml or a YAML that names COCO JSON files.</summary>
    public string Data { get; set; } = "";

    public string Model { get; set; } = "ttfnet-18";

    /// <summary>Named set of epochs, drops and augmentation: 1x, 2x or 10x.</summary>
    public string Recipe { get; set; } = "2x";

    /// <summary>Side of the square network input in pixels, a multiple of 32.</summary>
    public int Imgsz { get; set; } = 512;

    /// <summary>Pictures of a step, those of all ranks together.</summary>
    public int Batch { get; set; } = 16;

    /// <summary>Pieces that a rank's pictures of a step are worked through in, one after the other: less memory, the same gradient but for batch norm.</summary>
    public int Accumulate { get; set; } = 1;

    /// <summary>Pictures, of several ranks at a time, that share the statistics of batch norm; 0 means those of all ranks.</summary>
    public int BnGroup { get; set; }

    public int Epochs { get; set; } = 24;

    /// <summary>When the rate falls, in the unit of drop_unit: from the start of the schedule, or, all negative, from its end.</summary>
    public int[] Drops { get; set; } = [18, 22];

    public DropUnit DropUnit { get; set; } = DropUnit.Epoch;

    /// <summary>What the rate is multiplied by at each drop; one number serves all.</summary>
    public float[] DropFactors { get; set; } = [0.1f];

    public Augmentation Augment { get; set; } = Augmentation.Flip;

    public RecomputeMode Recompute { get; set; } = RecomputeMode.Auto;

    public OptimizerKind Optimizer { get; set; } = OptimizerKind.Sgd;

    /// <summary>Rate for the whole batch, or for lr_batch pictures; 0 means the published rate of the model scaled with the batch.</summary>
    public float Lr { get; set; }

    /// <summary>Linear scaling: lr is for so many pictures, and grows with the batch; 0 takes lr as it is.</summary>
    public int LrBatch { get; set; }

    public float Momentum { get; set; } = 0.9f;

    public float WeightDecay { get; set; } = 4e-4f;

    public int WarmupSteps { get; set; } = 500;

    /// <summary>Share of the rate at the first warm-up step.</summary>
    public float WarmupRatio { get; set; } = 0.2f;

    /// <summary>Greatest L2 norm of all gradients together; 0 switches clipping off.</summary>
    public float ClipNorm { get; set; } = 35;

    /// <summary>Decay of the averaged weights that are evaluated and saved; 0 switches averaging off.</summary>
    public float Ema { get; set; }

    /// <summary>Gaussian radius as a share of half the box (TTFNet's alpha).</summary>
    public float Alpha { get; set; } = 0.54f;

    public ulong Seed { get; set; } = 1;

    /// <summary>Threads that read and augment pictures.</summary>
    public int Workers { get; set; } = 2;

    /// <summary>Evaluate every this many epochs, and after the last.</summary>
    public int EvalInterval { get; set; } = 1;

    /// <summary>End after this many steps in all without touching the schedule; 0 means no limit.</summary>
    public long MaxSteps { get; set; }

    public NonFinitePolicy NonFinite { get; set; } = NonFinitePolicy.Stop;

    /// <summary>Checks ranges; throws <see cref="DataException"/> naming the key.</summary>
    public void Validate()
    {
        Require(Imgsz >= 64 && Imgsz % 32 == 0, "imgsz", "a multiple of 32, at least 64", Imgsz);
        Require(Batch >= 1, "batch", "at least 1", Batch);
        Require(Accumulate >= 1, "accumulate", "at least 1", Accumulate);
        Require(BnGroup >= 0, "bn_group", "at least 1, or 0 for all ranks", BnGroup);
        Require(Epochs >= 1, "epochs", "at least 1", Epochs);
        Require(Lr >= 0 && float.IsFinite(Lr), "lr", "a positive number, or 0 for the scaling rule", Lr);
        Require(Momentum is >= 0 and < 1, "momentum", "in [0, 1)", Momentum);
        Require(WeightDecay >= 0 && float.IsFinite(WeightDecay), "weight_decay", "at least 0", WeightDecay);
        Require(WarmupSteps >= 0, "warmup_steps", "at least 0", WarmupSteps);
        Require(WarmupRatio is > 0 and <= 1, "warmup_ratio", "in (0, 1]", WarmupRatio);
        Require(ClipNorm >= 0 && float.IsFinite(ClipNorm), "clip_norm", "at least 0", ClipNorm);
        Require(Ema is >= 0 and < 1, "ema", "in [0, 1)", Ema);
        Require(Alpha is > 0 and <= 1, "alpha", "in (0, 1]", Alpha);
        Require(Workers is >= 1 and <= 1024, "workers", "1 to 1024", Workers);
        Require(EvalInterval >= 1, "eval_interval", "at least 1", EvalInterval);
        Require(MaxSteps >= 0, "max_steps", "at least 0", MaxSteps);
        Require((Drops.All(d => d > 0) || Drops.All(d => d < 0)) && Drops.SequenceEqual(Drops.Order()), "drops", "ascending numbers, all positive or all negative,", string.Join(", ", Drops));
        Require(DropFactors.All(f => f is > 0 and <= 1) && (DropFactors.Length == 1 || DropFactors.Length == Drops.Length), "drop_factors",
            $"a number in (0, 1], or one for each of {Drops.Length} drops,", string.Join(", ", DropFactors));
        Require(LrBatch >= 0 && (LrBatch == 0 || Lr > 0), "lr_batch", "0, or with lr the batch it is for,", LrBatch);
    }

    private static void Require(bool good, string key, string expected, object came)
    {
        if (!good)
            throw new DataException(FormattableString.Invariant($"configuration: {key} expects {expected} but is {came}"));
    }
}
