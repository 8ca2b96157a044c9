using System.Globalization;

namespace CudaKernels.Detection;

/// <summary>The learning rate a model was published with, for so many pictures a step; other batches scale it linearly.</summary>
internal readonly record struct PublishedRate(float Rate, int Batch)
{
    public float For(int batch) => Rate * batch / Batch;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Rate} · batch / {Batch}");
}
