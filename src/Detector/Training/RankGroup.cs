using System.Runtime.ExceptionServices;
using System.Text;
using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Detection;

/// <summary>
/// The ranks that train as one, as the host of one of them sees it: its share of the work, and words and numbers from all the others. Every rank
/// calls the same in the same order, as with the group itself.
/// </summary>
/// <param name="group">All ranks.</param>
/// <param name="device">This rank's.</param>
internal sealed class RankGroup(ICollective group, Device device)
{
    public static RankGroup Alone(Device device) => new(new SingleRank(device), device);

    public ICollective Group => group;

    public Device Device => device;

    public int Rank => group.Rank;

    public int Size => group.Size;

    /// <summary>The one that writes files and speaks to the user.</summary>
    public bool IsFirst => Rank == 0;

    /// <summary>Lengths of the ranks' shares of a batch, where they are not to be as equal as can be.</summary>
    public IReadOnlyList<int>? Lengths { get; init; }

    /// <summary>This rank's places of a whole.</summary>
    public Share ShareOf(int whole) => Lengths is null ? Share.Of(whole, Size, Rank) : new(Lengths.Take(Rank).Sum(), Lengths[Rank]);

    /// <summary>As many numbers of every rank, by rank.</summary>
    public float[][] Gather(float[] own)
    {
        var all = Gather(own, DType.F32);
        return [.. Enumerable.Range(0, Size).Select(r => all[(r * own.Length)..((r + 1) * own.Length)])];
    }

    /// <summary>Bytes of every rank, by rank; each may have another number of them.</summary>
    public byte[][] Gather(byte[] own)
    {
        int[] lengths = Gather([own.Length], DType.I32);
        int longest = lengths.Max();
        if (longest == 0)
            return [.. lengths.Select(_ => Array.Empty<byte>())];
        var padded = new byte[longest];
        own.CopyTo(padded, 0);
        byte[] all = Gather(padded, DType.U8);
        return [.. lengths.Select((length, rank) => all.AsSpan(rank * longest, length).ToArray())];
    }

    /// <summary>A text of every rank, by rank.</summary>
    public string[] Gather(string own) => [.. Gather(Encoding.UTF8.GetBytes(own)).Select(Encoding.UTF8.GetString)];

    /// <summary>Whether it is so on at least one rank.</summary>
    public bool Any(bool own) => Gather([own ? 1 : 0], DType.I32).Any(said => said != 0);

    /// <summary>
    /// Work that may fail on one rank alone. Either it is done on all, or none goes on: the one that failed with its own error, the others with
    /// one that names it.
    /// </summary>
    /// <exception cref="CollectiveException">It failed on another rank.</exception>
    public T Together<T>(Func<T> work)
    {
        T? result = default;
        Exception? error = null;
        try
        {
            using var busy = device.Occupy(); // the others wait for as long as it takes
            result = work();
        }
        catch (Exception e)
        {
            error = e;
        }
        string[] words;
        try
        {
            words = Gather(error is null ? "" : error.Message.Length > 0 ? error.Message : error.GetType().Name);
        }
        catch when (error is not null)
        {
            words = []; // the others are gone as well, but this rank's error is the one to tell
        }
        if (error is not null)
            ExceptionDispatchInfo.Throw(error);
        int failed = Array.FindIndex(words, w => w.Length > 0);
        if (failed < 0)
            return result!;
        (result as IDisposable)?.Dispose();
        throw new CollectiveException(failed, $"rank {failed}: {words[failed]}");
    }

    /// <inheritdoc cref="Together{T}(Func{T})"/>
    public void Together(Action work) => Together(() =>
    {
        work();
        return true;
    });

    /// <summary>Work that the first rank does for all.</summary>
    /// <param name="work">What it does.</param>
    /// <param name="name">Of its row in a profile.</param>
    public void OnFirst(Action work, string name)
    {
        if (!IsFirst)
            return;
        using (device.HostWork(name))
            work();
    }

    private T[] Gather<T>(T[] own, DType type) where T : unmanaged
    {
        if (Size == 1)
            return own;
        TensorView part = device.Rent(new Shape(own.Length), type, nameof(RankGroup)), all = device.Rent(new Shape(own.Length * Size), type, nameof(RankGroup));
        try
        {
            device.Upload<T>(own, part);
            group.AllGather(part, all);
            var values = new T[own.Length * Size];
            device.Download<T>(all, values);
            return values;
        }
        finally
        {
            device.Return(part);
            device.Return(all);
        }
    }
}
