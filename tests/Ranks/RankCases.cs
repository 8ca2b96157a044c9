using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Ranks;

/// <summary>The contract of a group, piece by piece. Each piece leaves the group ready for the next.</summary>
internal static class RankCases
{
    private static readonly int[] Lengths = [0, 1, 2, 3, 5, 64, 997, 4099, 300_007];

    public static IReadOnlyList<RankCase> All { get; } =
    [
        new("all-reduce", AllReduce),
        new("all-reduce of special values", SpecialValues),
        new("reduce", Reduce),
        new("broadcast", Broadcast),
        new("all-gather", AllGather),
        new("barrier", Barrier),
        new("split", Split),
        new("split beside its parent", Beside),
        new("many in a row", ManyInARow),
        new("wrong arguments", WrongArguments),
        new("traffic", Traffic),
    ];

    private static void AllReduce(ICollective group, Device device)
    {
        foreach (var reduction in (Reduction[])[Reduction.Sum, Reduction.Max])
            foreach (int length in Lengths)
                CheckAllReduce(group, device, length, reduction);
    }

    private static void CheckAllReduce(ICollective group, Device device, int length, Reduction reduction, int draw = 0)
    {
        float[] got = Values.Change(device, DType.F32, Values.Floats(group.Rank, length, draw), view => group.AllReduce(view, reduction));
        Values.Equal(Values.Combined(group.Size, reduction, r => Values.Floats(r, length, draw)), got, $"all-reduce ({reduction}) of {length}");
    }

    private static void SpecialValues(ICollective group, Device device)
    {
        float[] Of(int rank)
        {
            float[] x = new float[40];
            x[3 + rank] = float.NaN;
            x[17] = rank == group.Size - 1 ? float.PositiveInfinity : -1;
            Array.Fill(x, -0f, 18, 5);
            x[24] = rank == 0 ? -0f : 0f;
            x[39] = float.NaN;
            return x;
        }
        foreach (var reduction in (Reduction[])[Reduction.Sum, Reduction.Max])
        {
            float[] got = Values.Change(device, DType.F32, Of(group.Rank), view => group.AllReduce(view, reduction));
            float[] expected = Values.Combined(group.Size, reduction, Of);
            for (int i = 0; i < got.Length; i++)
                Values.That(float.IsNaN(expected[i]) ? float.IsNaN(got[i]) : BitConverter.SingleToInt32Bits(expected[i]) == BitConverter.SingleToInt32Bits(got[i]), $"{reduction}: element {i} is {got[i]}, expected {expected[i]}");
        }
    }

    private static void Reduce(ICollective group, Device device)
    {
        for (int root = 0; root < group.Size; root++)
            foreach (int length in Lengths)
            {
                float[] mine = Values.Floats(group.Rank, length), got = Values.Change(device, DType.F32, mine, view => group.Reduce(view, Reduction.Sum, root));
                Values.Equal(group.Rank == root ? Values.Combined(group.Size, Reduction.Sum, r => Values.Floats(r, length)) : mine, got, $"reduce of {length} to {root}");
            }
    }

    private static void Broadcast(ICollective group, Device device)
    {
        for (int root = 0; root < group.Size; root++)
            foreach (int length in Lengths)
            {
                Values.Equal(Values.Floats(root, length), Values.Change(device, DType.F32, Values.Floats(group.Rank, length), view => group.Broadcast(view, root)), $"broadcast of f32[{length}] from {root}");
                Values.Equal(Values.Bytes(root, length), Values.Change(device, DType.U8, Values.Bytes(group.Rank, length), view => group.Broadcast(view, root)), $"broadcast of u8[{length}] from {root}");
            }
    }

    private static void AllGather(ICollective group, Device device)
    {
        foreach (int length in Lengths)
        {
            byte[] expected = [.. Enumerable.Range(0, group.Size).SelectMany(r => Values.Bytes(r, length))], together = [];
            Values.Equal(Values.Bytes(group.Rank, length), Values.Change(device, DType.U8, Values.Bytes(group.Rank, length), part =>
                together = Values.Change(device, DType.U8, new byte[expected.Length], all => group.AllGather(part, all))), $"the part of {length} bytes");
            Values.Equal(expected, together, $"all-gather of {length} bytes");
        }
        int[] numbers = [], mine = [group.Rank, -group.Rank];
        Values.Change(device, DType.I32, mine, part => numbers = Values.Change(device, DType.I32, new int[2 * group.Size], all => group.AllGather(part, all)));
        Values.Equal([.. Enumerable.Range(0, group.Size).SelectMany(r => (int[])[r, -r])], numbers, "all-gather of i32[2]");
    }

    private static void Barrier(ICollective group, Device device)
    {
        for (int i = 0; i < 10; i++)
            group.Barrier();
    }

    private static void Split(ICollective group, Device device)
    {
        using (var whole = group.Split(7))
        {
            Values.That(whole.Rank == group.Rank && whole.Size == group.Size, "a split with one number is the whole group");
            CheckAllReduce(whole, device, 100, Reduction.Sum);
        }
        using (var alone = group.Split(group.Rank))
        {
            Values.That(alone.Rank == 0 && alone.Size == 1, "a number of one's own makes a group of one");
            CheckAllReduce(alone, device, 100, Reduction.Sum);
        }
        using var half = group.Split(group.Rank % 2);
        Values.That(half.Rank == group.Rank / 2 && half.Size == (group.Size + 1 - group.Rank % 2) / 2, $"rank {group.Rank} of {group.Size} is {half.Rank} of {half.Size} in its half");
        float[] got = Values.Change(device, DType.F32, Values.Floats(group.Rank, 1001), view => half.AllReduce(view, Reduction.Sum));
        Values.Equal(Values.Combined(half.Size, Reduction.Sum, r => Values.Floats(2 * r + group.Rank % 2, 1001)), got, "all-reduce in a half");
        using var deeper = half.Split(0);
        CheckAllReduce(deeper, device, 10, Reduction.Max);
        CheckAllReduce(group, device, 10, Reduction.Max);
    }

    /// <summary>As gradients go on a thread of their own while the step's own thread reduces batch-norm sums.</summary>
    private static void Beside(ICollective group, Device device)
    {
        using var own = group.Split(0);
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                for (int i = 0; i < 30; i++)
                    CheckAllReduce(own, device, 20_011, Reduction.Sum, i);
            }
            catch (Exception e)
            {
                failure = e;
            }
        });
        thread.Start();
        for (int i = 0; i < 60; i++)
            CheckAllReduce(group, device, 257, Reduction.Sum, 100 + i);
        thread.Join();
        if (failure is not null)
            throw failure;
    }

    private static void ManyInARow(ICollective group, Device device)
    {
        for (int i = 0; i < 200; i++)
            CheckAllReduce(group, device, i % 37, Reduction.Sum, i);
    }

    /// <summary>What a rank can see by itself is refused before anybody else is asked, and the group goes on.</summary>
    private static void WrongArguments(ICollective group, Device device)
    {
        Refused(DType.U8, view => group.AllReduce(view, Reduction.Sum), "AllReduce: view expects f32 but is u8[6]");
        Refused(DType.U8, view => group.Reduce(view, Reduction.Sum, 0), "Reduce: view expects f32 but is u8[6]");
        Refused(DType.F32, view => group.Reduce(view, Reduction.Sum, group.Size), "Reduce: root expects a rank below");
        Refused(DType.F32, view => group.Broadcast(view, -1), "Broadcast: root expects a rank below");
        Refused(DType.F32, view => group.AllGather(view, view.Slice(0, new Shape(5))), "AllGather: all expects f32 of length");
        Refused(DType.F32, view => group.Split(-1), "Split: number expects a number of at least 0");
        Refused(DType.F32, _ => group.AllReduce(default, Reduction.Sum), "AllReduce: view expects f32 but is none");
        group.Barrier();

        void Refused(DType type, Action<TensorView> call, string words)
        {
            var view = device.Rent(new Shape(6), type, "ranks");
            try
            {
                call(view);
            }
            catch (KernelException e)
            {
                Values.That(e.Message.StartsWith(words), $"\"{e.Message}\" does not begin with \"{words}\"");
                return;
            }
            finally
            {
                device.Return(view);
            }
            throw new InvalidOperationException($"not refused: {words}");
        }
    }

    private static void Traffic(ICollective group, Device device)
    {
        using var own = group.Split(0);
        for (int i = 0; i < 3; i++)
            CheckAllReduce(own, device, 50, Reduction.Sum);
        own.Barrier();
        if (own.Size == 1)
            return;
        Values.That(own.Traffic.Rows.Count == 2, $"{own.Traffic.Rows.Count} rows of traffic, expected 2");
        var row = own.Traffic.Rows[0];
        Values.That(row is { Calls: 3, Bytes: 600, Seconds: > 0 } && row.Call.ToString() == "all-reduce (sum) of f32[50]", $"the first row of traffic is {row}");
    }
}
