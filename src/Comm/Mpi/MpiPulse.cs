using System.Runtime.InteropServices;
using System.Text;
using System.Text.Unicode;

namespace CudaKernels.Comm;

internal enum MpiPulseState
{
    Alive,
    Leaving,
    Failed,
}

/// <summary>What a process tells the others about itself, as it is sent.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MpiPulse
{
    /// <summary>Small enough for MPI to send it whether or not the other side listens.</summary>
    public const int Bytes = 1024;

    private const int TextBytes = 800;

    private long progress;
    private int isBusy, waiting, rank;
    private CollectiveCall call;
    private fixed byte text[TextBytes]; // deed, line feed, details, zero

    public MpiPulseState State { get; private set; }

    public readonly RankStatus Status => new(progress, isBusy != 0, waiting, call);

    public readonly RankFailure Failure
    {
        get
        {
            fixed (byte* from = text)
            {
                string all = Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(from));
                string[] parts = all.Split('\n', 2);
                return new(rank, parts[0], parts[1]);
            }
        }
    }

    public void Set(MpiPulseState state, RankStatus status) =>
        (State, progress, isBusy, waiting, call) = (state, status.Progress, status.IsBusy ? 1 : 0, status.Waiting, status.Call);

    public void Set(RankFailure failure)
    {
        (State, rank) = (MpiPulseState.Failed, failure.Rank);
        fixed (byte* to = text)
        {
            Utf8.FromUtf16($"{failure.Deed}\n{failure.Details}", new Span<byte>(to, TextBytes - 1), out _, out int written); // the end of a long story is left out
            to[written] = 0;
        }
    }
}
