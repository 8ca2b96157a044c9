namespace CudaKernels.Detection;

/// <summary>An object found in a picture.</summary>
/// <param name="Label">Name of its class.</param>
/// <param name="Class">Number of its class: index into <see cref="Detector.Classes"/>.</param>
/// <param name="Score">Confidence in (0, 1).</param>
/// <param name="Box">Where it is, in pixels of the picture.</param>
public sealed record Detection(string Label, int Class, float Score, Box Box);
