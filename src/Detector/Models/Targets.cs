namespace CudaKernels.Detection;

/// <summary>What the pictures of a batch show.</summary>
/// <param name="Boxes">
/// Per image four numbers an object: x1, y1, x2, y2 in pixels of the network input, both corners inside the box (width = x2 − x1 + 1).
/// </param>
/// <param name="Classes">Per image one class number an object.</param>
internal sealed record Targets(float[][] Boxes, int[][] Classes);
