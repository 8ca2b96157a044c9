using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// A trained detector, ready to use. Loading is the slow part; keep one and ask it often. Several threads may call it at once;
/// they take turns at the processor, whose cores one call already uses.
/// </summary>
public sealed class Detector : IDisposable
{
    private const float DefaultConfidence = 0.3f;

    private readonly Device device;
    private readonly DetectionModel model;
    private readonly FrozenWeights weights;

    private Detector(Device device, DetectionModel model, FrozenWeights weights, int imageSize)
    {
        this.device = device;
        this.model = model;
        this.weights = weights;
        ImageSize = imageSize;
    }

    /// <summary>Class names; <see cref="Detection.Class"/> is an index into them.</summary>
    public IReadOnlyList<string> Classes => model.Info.Classes;

    /// <summary>Name of the model, for example "ttfnet-18".</summary>
    public string Model => model.Info.Name;

    /// <summary>Side in pixels of the square that every picture is resized to.</summary>
    public int ImageSize { get; }

    /// <summary>Loads a file that training has written.</summary>
    /// <param name="path">"best.safetensors" or "last.safetensors" of a run folder.</param>
    /// <param name="device">"cpu", "cuda:N", "opencl:N" or "ilgpu-cpu"; "auto" is the fastest that works.</param>
    /// <param name="threads">Threads that compute on "cpu"; 0 means all cores. Results do not depend on it.</param>
    /// <exception cref="DataException">The file is missing, damaged, not a model of this library, or holds NaN; the message names what.</exception>
    /// <exception cref="ArgumentException">Not the name of a device, or a negative number of threads.</exception>
    /// <exception cref="KernelException">This machine has no such device; the message says what it has or what is missing.</exception>
    public static Detector Load(string path, string device = "auto", int threads = 0) => Load(path, () => DeviceName.Open("Detector.Load", device, threads));

    internal static Detector Load(string path, Func<Device> open)
    {
        ArgumentNullException.ThrowIfNull(path);
        var file = ModelFile.Open(path);
        var model = file.CreateModel();
        var opened = open();
        try
        {
            return new Detector(opened, model, file.Freeze(model, opened), file.ImageSize);
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <summary>Finds objects in a picture file (JPEG, PNG, BMP, WEBP).</summary>
    /// <param name="path">The picture.</param>
    /// <param name="confidence">Lowest score to report, in [0, 1].</param>
    /// <returns>Objects in order of descending score, at most 100.</returns>
    /// <exception cref="DataException">The file is missing, not a picture, truncated or too large.</exception>
    public IReadOnlyList<Detection> Detect(string path, float confidence = DefaultConfidence) => Detect(ImageFile.Load(path), confidence);

    /// <summary>Finds objects in a picture in memory.</summary>
    /// <param name="rgb">Red, green, blue of each pixel, rows from top to bottom without padding: width · height · 3 bytes.</param>
    /// <param name="width">Columns.</param>
    /// <param name="height">Rows.</param>
    /// <param name="confidence">Lowest score to report, in [0, 1].</param>
    /// <returns>Objects in order of descending score, at most 100.</returns>
    /// <exception cref="ArgumentException">Size and number of bytes do not fit together.</exception>
    public IReadOnlyList<Detection> Detect(ReadOnlySpan<byte> rgb, int width, int height, float confidence = DefaultConfidence) =>
        Detect(new ImageBuffer(width, height, rgb.ToArray()), confidence);

    /// <summary>Finds objects in a picture in memory.</summary>
    /// <param name="picture">The picture.</param>
    /// <param name="confidence">Lowest score to report, in [0, 1].</param>
    /// <returns>Objects in order of descending score, at most 100.</returns>
    public IReadOnlyList<Detection> Detect(ImageBuffer picture, float confidence = DefaultConfidence)
    {
        ArgumentNullException.ThrowIfNull(picture);
        if (!(confidence is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(confidence), confidence, "Detector.Detect: confidence expects a number in [0, 1]");
        ObjectDisposedException.ThrowIf(weights.Disposed, this);
        using var scope = new StepScope(device, record: false);
        return
        [
            .. model.Detect(ModelInput.Prepare(scope, [picture], ImageSize))[0].Where(d => d.Score >= confidence)
                .Select(d => new Detection(Classes[d.Class], d.Class, d.Score, d.InPicture(ImageSize, ImageSize, picture.Width, picture.Height))),
        ];
    }

    /// <summary>Frees the weights and ends the threads. No call may be under way.</summary>
    public void Dispose()
    {
        if (weights.Disposed)
            return;
        weights.Dispose();
        device.Dispose();
    }
}
