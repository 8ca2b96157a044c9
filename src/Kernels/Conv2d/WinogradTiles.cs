using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// How the pixels of a convolution's outputs are cut into tiles of 4x4, and the maps of tiles between images (N,H,W,C) and the transformed
/// domain. There, value c of tile t at a point lies at point·Point + c / Panel · PanelStride + t·TileStride + c % Panel: rows of a matrix, or panels
/// of one. Points are whole cache lines apart, and not a power of two, or all 36 would fall into the same sets of the cache.
/// </summary>
internal readonly unsafe struct WinogradTiles
{
    private WinogradTiles(int panel, nint panelStride, nint tileStride, long floats)
    {
        (Panel, PanelStride, TileStride) = (panel, panelStride, tileStride);
        Point = (nint)((floats + 4 * CacheLine.Floats - 1) / (4 * CacheLine.Floats) * (4 * CacheLine.Floats) + CacheLine.Floats);
    }

    public int Panel { get; }

    public nint PanelStride { get; }

    public nint TileStride { get; }

    public nint Point { get; }

    public int Floats => checked((int)(WinogradMaps.Points * Point));

    /// <summary>At each point a matrix (tile, channel).</summary>
    public static WinogradTiles Rows(int tiles, int channels) => new(Math.Max(1, channels), 0, channels, (long)tiles * channels);

    /// <summary>At each point panels (tile, width) side by side.</summary>
    public static WinogradTiles Panels(int tiles, int channels, int width) =>
        new(width, (nint)tiles * width, width, (long)(channels + width - 1) / width * width * tiles);

    /// <summary>Where channel c of tile t begins, at the first point.</summary>
    public nint At(int tile, int channel) => channel / Panel * PanelStride + tile * TileStride + channel % Panel;

    /// <summary>
    /// Maps some channels of one square of an image, its upper left pixel at (y, x), which may lie outside, into the transformed domain, which holds those channels
    /// alone. What is outside counts as zero.
    /// </summary>
    public void Forward<TMap, TVector>(in WinogradImage image, int batch, int y, int x, int channel, int channels, int tile, float* domain, float* zeros)
        where TMap : struct, IWinogradMap where TVector : unmanaged, ISimd<TVector>
    {
        float** pixels = stackalloc float*[WinogradMaps.Points];
        int side = TMap.From;
        for (int i = 0; i < side * side; i++)
        {
            int row = y + i / side, column = x + i % side;
            pixels[i] = (uint)row < (uint)image.Height && (uint)column < (uint)image.Width ? image.Pixel(batch, row, column) + channel : zeros;
        }
        int whole = channels / TVector.Count * TVector.Count;
        Gather<TMap, TVector>(pixels, 0, whole, tile, domain);
        Gather<TMap, F32x1>(pixels, whole, channels, tile, domain);
    }

    [SkipLocalsInit]
    [MethodImpl(HotLoop.Options)]
    private void Gather<TMap, TVector>(float** pixels, int first, int last, int tile, float* domain)
        where TMap : struct, IWinogradMap where TVector : unmanaged, ISimd<TVector>
    {
        TVector* from = stackalloc TVector[WinogradMaps.Points];
        int count = TMap.From * TMap.From, point = (int)Point / TVector.Count;
        for (int channel = first; channel < last; channel += TVector.Count)
        {
            for (int i = 0; i < count; i++)
                from[i] = TVector.Load(pixels[i] + channel);
            WinogradMaps.Square<TMap, TVector>(from, (TVector*)(domain + At(tile, channel)), point);
        }
    }

    /// <summary>
    /// Writes some channels of the 4x4 outputs of a tile, as far as they lie in the image: y = act(sum + bias (+ what lies addend floats behind y)). The domain holds
    /// those channels alone.
    /// </summary>
    public void Outputs<TVector>(in WinogradProblem problem, int batch, int y, int x, int tile, int channel, int channels, float* domain)
        where TVector : unmanaged, ISimd<TVector>
    {
        var image = problem.Target;
        float** pixels = stackalloc float*[WinogradMaps.Output * WinogradMaps.Output];
        for (int i = 0; i < WinogradMaps.Output * WinogradMaps.Output; i++)
        {
            int row = y + i / WinogradMaps.Output, column = x + i % WinogradMaps.Output;
            pixels[i] = row < image.Height && column < image.Width ? image.Pixel(batch, row, column) + channel : null;
        }
        float* bias = problem.Bias == null ? null : problem.Bias + channel;
        int whole = channels / TVector.Count * TVector.Count;
        Scatter<TVector>(problem, pixels, 0, whole, tile, domain, bias);
        Scatter<F32x1>(problem, pixels, whole, channels, tile, domain, bias);
    }

    [SkipLocalsInit]
    [MethodImpl(HotLoop.Options)]
    private void Scatter<TVector>(in WinogradProblem problem, float** pixels, int first, int last, int tile, float* domain, float* bias)
        where TVector : unmanaged, ISimd<TVector>
    {
        TVector* from = stackalloc TVector[WinogradMaps.Points];
        TVector* to = stackalloc TVector[WinogradMaps.Points];
        bool accumulate = problem.Accumulate, active = problem.Factor != 1;
        nint addend = problem.Addend;
        var slope = TVector.Create(problem.Factor);
        for (int channel = first; channel < last; channel += TVector.Count)
        {
            float* source = domain + At(tile, channel);
            for (int i = 0; i < WinogradMaps.Points; i++, source += Point)
                from[i] = TVector.Load(source);
            WinogradMaps.Square<WinogradMaps.Sum, TVector>(from, to, 1);
            var added = bias == null ? TVector.Zero : TVector.Load(bias + channel);
            for (int i = 0; i < WinogradMaps.Output * WinogradMaps.Output; i++)
            {
                if (pixels[i] == null)
                    continue;
                float* pixel = pixels[i] + channel;
                var value = to[i] + added;
                if (accumulate)
                    value += TVector.Load(pixel + addend);
                TVector.Store(active ? Activation.Apply(value, slope) : value, pixel);
            }
        }
    }
}

/// <summary>An image (N,H,W,C) in memory.</summary>
internal readonly unsafe struct WinogradImage(float* values, int height, int width, int channels)
{
    public int Height => height;

    public int Width => width;

    public int Channels => channels;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* Pixel(int image, int y, int x) => values + (((nint)image * height + y) * width + x) * channels;
}
