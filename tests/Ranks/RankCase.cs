using CudaKernels.Comm;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Ranks;

/// <summary>Something every implementation of a group must do, run by each of its ranks; throws when it does not.</summary>
internal sealed record RankCase(string Name, Action<ICollective, Device> Run);
