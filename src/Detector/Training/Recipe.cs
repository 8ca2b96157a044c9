namespace CudaKernels.Detection;

/// <summary>A published training schedule of TTFNet under its name (detectors.md 3.5).</summary>
internal sealed record Recipe(string Name, int Epochs, int[] Drops, Augmentation Augment)
{
    public static IReadOnlyList<Recipe> All { get; } =
    [
        new("1x", 12, [9, 11], Augmentation.Flip),
        new("2x", 24, [18, 22], Augmentation.Flip),
        new("10x", 120, [90, 110], Augmentation.Full),
    ];

    public static Recipe Find(string name) => All.FirstOrDefault(r => r.Name == name)
        ?? throw new DataException($"configuration: recipe {name} is not known; use {string.Join(", ", All.Select(r => r.Name))}");

    /// <summary>The recipe stretched to another number of epochs: drops keep their share of the run.</summary>
    public Recipe Stretch(int epochs) => epochs == Epochs ? this : this with
    {
        Epochs = epochs,
        Drops = [.. Drops.Select(d => Math.Max(1, (int)Math.Round((double)d * epochs / Epochs)))],
    };
}
