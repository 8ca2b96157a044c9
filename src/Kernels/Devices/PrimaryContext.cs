using System.Runtime.CompilerServices;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// Moves an accelerator into its device's primary context, the one that every library on top of the CUDA runtime works in (NCCL first
/// of all), so that memory and streams can be shared with them. The compiler library makes a context of its own and offers no choice.
/// </summary>
internal static class PrimaryContext
{
    /// <summary>Right after the accelerator was made, while nothing lives in its own context.</summary>
    public static void Enter(CudaAccelerator accelerator)
    {
        nint own = accelerator.NativePtr, primary = CudaDriver.RetainPrimaryContext(accelerator.DeviceId);
        SetNativePtr(accelerator, primary);
        CudaDriver.SetCurrentContext(primary);
        CudaDriver.DestroyContext(own);
    }

    /// <summary>
    /// Disposes the accelerator, on a thread that it is bound to. It frees its kernels in the current context, which stays the primary one,
    /// and then destroys the context it believes to be its own; that must not be the primary one, so it is given another to destroy.
    /// </summary>
    public static void Dispose(CudaAccelerator accelerator)
    {
        int device = accelerator.DeviceId;
        nint primary = accelerator.NativePtr, doomed = CudaDriver.CreateContext(device);
        CudaDriver.SetCurrentContext(primary);
        SetNativePtr(accelerator, doomed);
        accelerator.Dispose();
        CudaDriver.ReleasePrimaryContext(device);
    }

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_NativePtr")]
    private static extern void SetNativePtr(Accelerator accelerator, nint context);
}
