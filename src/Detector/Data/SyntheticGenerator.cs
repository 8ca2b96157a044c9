using System.Text.Json;

namespace CudaKernels.Detection;

/// <summary>
/// Writes a data set of generated pictures: images/{train,val}/NNNNNN.jpg, annotations/{train,val}.json (COCO instances with polygons;
/// area of the polygon, tight bbox) and a data.yaml that <see cref="DatasetSource"/> opens. One picture in eight is for validation.
/// </summary>
internal static class SyntheticGenerator
{
    private const string Marker = "# Generated pictures of shapes; may be written again over itself.";
    private const int ValidationShare = 8;

    /// <summary>Fewest pictures that give each split at least one.</summary>
    public const int LeastImages = ValidationShare;

    private const int JpegQuality = 92;

    /// <summary>Writes the data set and returns the path of its data.yaml. The same arguments give the same files.</summary>
    /// <param name="folder">New or empty folder, or one written by this generator before.</param>
    /// <param name="images">Pictures in both splits together, at least 8.</param>
    /// <param name="size">Side of the square pictures in pixels, at least <see cref="SyntheticPicture.MinSize"/>.</param>
    /// <param name="seed">Seed.</param>
    /// <param name="threads">Threads that draw; the result does not depend on it.</param>
    /// <exception cref="DataException">The folder holds something else or cannot be written.</exception>
    public static string Write(string folder, int images, int size, ulong seed, int threads = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(images, LeastImages);
        ArgumentOutOfRangeException.ThrowIfLessThan(size, SyntheticPicture.MinSize);
        var yaml = Path.Combine(folder, "data.yaml");
        try
        {
            RequireOwnFolder(folder, yaml);
            var validation = images / ValidationShare;
            WriteSplit(folder, "train", 0, images - validation, size, seed, threads);
            WriteSplit(folder, "val", images - validation, validation, size, seed, threads);
            File.WriteAllText(yaml, $"""
                {Marker}
                # {images} pictures of {size}x{size}, seed {seed}
                train: {"{"}images: images/train, annotations: annotations/train.json{"}"}
                val: {"{"}images: images/val, annotations: annotations/val.json{"}"}

                """);
            return yaml;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{folder}: cannot write the generated pictures: {error.Message}", error);
        }
    }

    private static void RequireOwnFolder(string folder, string yaml)
    {
        if (File.Exists(folder)) throw new DataException($"{folder}: is a file, expected a folder for the generated pictures");
        if (!Directory.Exists(folder) || !Directory.EnumerateFileSystemEntries(folder).Any()) return;
        if (!File.Exists(yaml) || File.ReadLines(yaml).FirstOrDefault() != Marker)
            throw new DataException($"{folder}: holds other files; choose a new or empty folder for the generated pictures");
    }

    private static void WriteSplit(string folder, string split, int first, int count, int size, ulong seed, int threads)
    {
        var imageFolder = Directory.CreateDirectory(Path.Combine(folder, "images", split)).FullName;
        Directory.CreateDirectory(Path.Combine(folder, "annotations"));
        var objects = new IReadOnlyList<SyntheticObject>[count];
        ParallelWork.For(count, threads, i =>
        {
            var picture = new SyntheticPicture(size, seed, (ulong)(first + i));
            ImageFile.SaveJpeg(picture.Image, Path.Combine(imageFolder, FileName(i)), JpegQuality);
            objects[i] = picture.Objects;
        });
        var annotations = new List<object>();
        for (var i = 0; i < count; i++)
            foreach (var found in objects[i])
            {
                var box = SyntheticShape.Bounds(found.Polygon);
                annotations.Add(new
                {
                    id = annotations.Count + 1,
                    image_id = i + 1,
                    category_id = found.Class + 1,
                    bbox = new[] { box.X1, box.Y1, Math.Round(box.Width, 2), Math.Round(box.Height, 2) },
                    area = Math.Round(SyntheticShape.Area(found.Polygon), 2),
                    iscrowd = 0,
                    segmentation = new[] { found.Polygon },
                });
            }

        var document = new
        {
            images = Enumerable.Range(0, count).Select(i => new { id = i + 1, file_name = FileName(i), width = size, height = size }),
            annotations,
            categories = SyntheticShape.Names.Select((name, i) => new { id = i + 1, name }),
        };
        File.WriteAllBytes(Path.Combine(folder, "annotations", split + ".json"), JsonSerializer.SerializeToUtf8Bytes(document));
    }

    private static string FileName(int index) => $"{index + 1:D6}.jpg";
}
