namespace CudaKernels.Comm;

/// <summary>What is known of a rank at one moment.</summary>
/// <param name="Progress">Grows with its kernels, declared host work and finished operations.</param>
/// <param name="IsBusy">Its device or declared host work is under way, however long that takes.</param>
/// <param name="Waiting">Its threads that wait for other ranks.</param>
/// <param name="Call">What one of them waits in; without any, what it asked for last.</param>
internal readonly record struct RankStatus(long Progress, bool IsBusy, int Waiting, CollectiveCall Call);
