namespace CudaKernels.Detection;

/// <summary>What the network is really fed: the pictures of a batch side by side with their boxes, to look at before a long run.</summary>
internal static class BatchPicture
{
    private const int MostPictures = 16, Columns = 4;

    public static void Write(string path, Batch batch, IReadOnlyList<string> classes)
    {
        int size = batch.Size, count = Math.Min(batch.Count, MostPictures), columns = Math.Min(count, Columns), rows = (count + columns - 1) / columns;
        var sheet = new byte[rows * size * columns * size * 3];
        for (int i = 0; i < count; i++)
        {
            var tile = AnnotatedPicture.Draw(new ImageBuffer(size, size, batch.Picture(i).ToArray()),
                [.. batch.Boxes[i].Select(b => new PictureBox(new Box(b.X1, b.Y1, b.X2 + 1, b.Y2 + 1), b.Class, classes[b.Class]))]);
            for (int y = 0; y < size; y++)
                tile.Pixels.AsSpan(y * size * 3, size * 3).CopyTo(sheet.AsSpan((((i / columns * size) + y) * columns + i % columns) * size * 3));
        }
        ImageFile.SavePng(new ImageBuffer(columns * size, rows * size, sheet), path);
    }
}
