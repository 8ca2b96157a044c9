namespace CudaKernels.Detection;

/// <summary>
/// Pictures of one step, ready for the device. Dispose it when the pixels are no longer needed: the loader then reuses the buffer.
/// </summary>
internal sealed class Batch : IDisposable
{
    private readonly Action<byte[]> recycle;
    private byte[]? pixels;

    public Batch(int epoch, int step, int size, int[] indices, byte[] pixels, Action<byte[]> recycle)
    {
        Epoch = epoch;
        Step = step;
        Size = size;
        Indices = indices;
        Samples = new Sample[indices.Length];
        Boxes = new PixelBox[indices.Length][];
        this.pixels = pixels;
        this.recycle = recycle;
    }

    /// <summary>Epoch, counted from 0.</summary>
    public int Epoch { get; }

    /// <summary>Step within the epoch, counted from 0.</summary>
    public int Step { get; }

    /// <summary>Side of the square pictures.</summary>
    public int Size { get; }

    /// <summary>Number of pictures.</summary>
    public int Count => Indices.Length;

    /// <summary>Which pictures of the data set these are.</summary>
    public int[] Indices { get; }

    /// <summary>Their entries in the data set: id, path, size before the resize.</summary>
    public Sample[] Samples { get; }

    /// <summary>Per picture the boxes to train on, in pixels of the resized picture.</summary>
    public PixelBox[][] Boxes { get; }

    /// <summary>(Count, Size, Size, 3) bytes, red first. May be read until the batch is disposed.</summary>
    public byte[] Pixels => pixels ?? throw new ObjectDisposedException(nameof(Batch), "Batch: its pixels went back to the loader when it was disposed");

    /// <summary>The bytes of one picture.</summary>
    public Span<byte> Picture(int slot) => Pixels.AsSpan(slot * Size * Size * 3, Size * Size * 3);

    /// <summary>Gives the pixel buffer back to the loader.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref pixels, null) is { } returned) recycle(returned);
    }
}
