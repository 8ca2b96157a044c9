using System.Diagnostics;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// A point in the work of a stream that the host or another stream can wait for, and between two of which time can be taken. On CUDA it
/// is the driver's event and only the stream that is delayed waits; elsewhere the host waits for the stream in its place.
/// </summary>
internal abstract class StreamEvent : IDisposable
{
    /// <param name="accelerator">Must be bound to the calling thread, now and in every use.</param>
    /// <param name="timing">Whether <see cref="Milliseconds"/> will be asked for.</param>
    public static StreamEvent Create(Accelerator accelerator, bool timing = false) => accelerator is CudaAccelerator ? new Cuda(timing) : new Host(timing);

    /// <summary>Puts the event behind all that the stream was given so far.</summary>
    public abstract void Record(AcceleratorStream stream);

    /// <summary>What the stream is given from now on starts after the event; one never recorded delays nothing.</summary>
    public abstract void Delay(AcceleratorStream stream);

    /// <summary>Returns once the event has happened; at once if it was never recorded.</summary>
    public abstract void Wait();

    /// <summary>Time from an earlier event of the same stream to this one, which has happened.</summary>
    public abstract double Milliseconds(StreamEvent since);

    public abstract void Dispose();

    private sealed class Cuda(bool timing) : StreamEvent
    {
        private readonly nint handle = CudaDriver.CreateEvent(timing);

        public override void Record(AcceleratorStream stream) => CudaDriver.Record(handle, ((CudaStream)stream).StreamPtr);

        public override void Delay(AcceleratorStream stream) => CudaDriver.Delay(((CudaStream)stream).StreamPtr, handle);

        public override void Wait() => CudaDriver.Wait(handle);

        public override double Milliseconds(StreamEvent since) => CudaDriver.Elapsed(((Cuda)since).handle, handle);

        public override void Dispose() => CudaDriver.DestroyEvent(handle);
    }

    private sealed class Host(bool timing) : StreamEvent
    {
        private AcceleratorStream? recorded;
        private long time;

        public override void Record(AcceleratorStream stream)
        {
            recorded = stream;
            if (!timing)
                return;
            stream.Synchronize();
            time = Stopwatch.GetTimestamp();
        }

        public override void Delay(AcceleratorStream stream) => Wait();

        public override void Wait() => recorded?.Synchronize();

        public override double Milliseconds(StreamEvent since) => Stopwatch.GetElapsedTime(((Host)since).time, time).TotalMilliseconds;

        public override void Dispose()
        {
        }
    }
}
