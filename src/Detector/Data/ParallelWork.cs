using System.Runtime.ExceptionServices;

namespace CudaKernels.Detection;

/// <summary>Independent pieces of work on several threads; what goes wrong in one reaches the caller as it was thrown.</summary>
internal static class ParallelWork
{
    /// <summary>
    /// Runs <paramref name="work"/> for 0 to <paramref name="count"/> - 1. Of several errors the one of the lowest index is thrown,
    /// so that it does not depend on timing.
    /// </summary>
    public static void For(int count, int threads, Action<int> work)
    {
        var errors = new ExceptionDispatchInfo?[count];
        Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(threads, 1) }, i =>
        {
            try
            {
                work(i);
            }
            catch (Exception error)
            {
                errors[i] = ExceptionDispatchInfo.Capture(error);
            }
        });
        Array.Find(errors, error => error is not null)?.Throw();
    }
}
