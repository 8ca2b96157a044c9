using System.Text.Json;

namespace CudaKernels.Detection;

/// <summary>Objects of one class.</summary>
internal sealed record ClassStats(string Name, int Boxes, int Images, int Small, int Medium, int Large);

/// <summary>How often a picture size occurs.</summary>
internal sealed record SizeStats(int Width, int Height, int Images);

/// <summary>What `data stats` shows of one split: counts, sizes and crowding. Small, medium and large are COCO's areas (32 and 96 squared).</summary>
internal sealed class DatasetStats
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public required string Name { get; init; }

    public required int Images { get; init; }

    public required int ImagesWithoutObjects { get; init; }

    /// <summary>Objects that are no crowds.</summary>
    public required int Boxes { get; init; }

    public required int Crowds { get; init; }

    public required int Difficult { get; init; }

    public required int Small { get; init; }

    public required int Medium { get; init; }

    public required int Large { get; init; }

    public required double BoxesPerImageMean { get; init; }

    public required int BoxesPerImageMedian { get; init; }

    public required int BoxesPerImageMax { get; init; }

    public required IReadOnlyList<ClassStats> Classes { get; init; }

    /// <summary>Picture sizes, the most frequent first, at most 20.</summary>
    public required IReadOnlyList<SizeStats> ImageSizes { get; init; }

    /// <summary>Counts a split; no picture is decoded.</summary>
    public static DatasetStats Of(IDataset dataset)
    {
        var samples = Enumerable.Range(0, dataset.Count).Select(dataset.Read).ToArray();
        var perImage = samples.Select(sample => sample.Objects.Count(found => !found.Crowd)).Order().ToArray();
        var classes = dataset.Classes.Select((name, index) => OfClass(name, index, samples)).ToArray();
        return new DatasetStats
        {
            Name = dataset.Name,
            Images = samples.Length,
            ImagesWithoutObjects = samples.Count(sample => sample.Objects.Count == 0),
            Boxes = perImage.Sum(),
            Crowds = samples.Sum(sample => sample.Objects.Count(found => found.Crowd)),
            Difficult = samples.Sum(sample => sample.Objects.Count(found => found.Difficult)),
            Small = classes.Sum(entry => entry.Small),
            Medium = classes.Sum(entry => entry.Medium),
            Large = classes.Sum(entry => entry.Large),
            BoxesPerImageMean = perImage.Average(),
            BoxesPerImageMedian = perImage[perImage.Length / 2],
            BoxesPerImageMax = perImage[^1],
            Classes = classes,
            ImageSizes = [.. samples.GroupBy(sample => (sample.Width, sample.Height))
                .Select(group => new SizeStats(group.Key.Width, group.Key.Height, group.Count()))
                .OrderByDescending(size => size.Images).ThenByDescending(size => (long)size.Width * size.Height).Take(20)],
        };
    }

    /// <summary>All members in snake case.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Json);

    private static ClassStats OfClass(string name, int index, Sample[] samples)
    {
        var areas = samples.SelectMany(sample => sample.Objects).Where(found => found.Class == index && !found.Crowd).Select(found => found.Area).ToArray();
        var small = areas.Count(area => area < 32 * 32);
        var large = areas.Count(area => area >= 96 * 96);
        return new ClassStats(
            name, areas.Length, samples.Count(sample => sample.Objects.Any(found => found.Class == index && !found.Crowd)),
            small, areas.Length - small - large, large);
    }
}
