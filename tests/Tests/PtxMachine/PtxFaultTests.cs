using CudaKernels.Kernels;
using ILGPU;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>What the machine is there to see: races, accesses out of bounds, barriers that not all threads reach; and that it names them.</summary>
public sealed class PtxFaultTests
{
    /// <summary>Each thread writes its cell of the tile and reads its neighbour's.</summary>
    private const string Neighbour = """
        shl.b32 %r1, %r0, 2;
        cvt.u64.u32 %rd1, %r1;
        mov.u64 %rd2, tile;
        add.u64 %rd3, %rd2, %rd1;
        st.shared.u32 [%rd3], %r0;
        BETWEEN
        xor.b32 %r2, %r1, 4;
        cvt.u64.u32 %rd4, %r2;
        add.u64 %rd5, %rd2, %rd4;
        ld.shared.u32 %r3, [%rd5];
        add.u64 %rd6, %rd0, %rd1;
        st.global.u32 [%rd6], %r3;
        ret;
        """;

    [Theory]
    [InlineData("bar.sync 0;")]
    [InlineData("bar.warp.sync -1;")]
    public void ABarrierOrdersAccesses(string barrier)
    {
        uint[] expected = [.. Enumerable.Range(0, 64).Select(i => (uint)i ^ 1)];
        foreach (bool backwards in (bool[])[false, true])
            Assert.Equal(expected, PtxRun.On(Neighbour.Replace("BETWEEN", barrier), new uint[64], threads: 64, backwards: backwards));
    }

    [Fact]
    public void AMissingBarrierIsARace()
    {
        string message = Fails(Neighbour.Replace("BETWEEN", ""), 64);
        Assert.Contains("kernel, line ", message);
        Assert.Contains("`ld.shared.u32 %r3, [%rd5];`, group 0, thread 0: races with a write by thread 1: 4 bytes at 4 of shared memory", message);
    }

    [Fact]
    public void AMeetingOfAWarpDoesNotOrderAnother() =>
        Assert.Contains("thread 32: races with a read by thread 0", Fails(
            Neighbour.Replace("BETWEEN", "bar.sync 0; st.shared.u32 [%rd3], %r0; bar.warp.sync -1;").Replace("%r1, 4;", "%r1, 128;"), 64, words: 64));

    [Theory]
    [InlineData("ld.shared.u32 %r1, [tile];", 32, "reads what nobody has written: 4 bytes at 0 of shared memory")]
    [InlineData("st.shared.u32 [tile+4096], 1;", 1, "lie outside of the 4096 bytes of shared memory")]
    [InlineData("st.shared.u32 [tile+-4], 1;", 1, "lie outside of the 4096 bytes of shared memory")]
    [InlineData("st.shared.v4.u32 [tile+8], {1, 2, 3, 4};", 1, "not aligned to 16")]
    [InlineData("st.shared.u32 [tile], 1;", 2, "races with a write by thread 0")]
    [InlineData("setp.eq.u32 %p1, %r0, 0; @%p1 st.shared.u32 [tile], 1; bar.sync 0; ld.shared.u32 %r1, [tile]; @%p1 st.shared.u32 [tile], 2;", 2, "races with a read by thread 1 and others")]
    [InlineData("atom.shared.add.u32 %r1, [tile], 1;", 1, "reads what nobody has written")]
    public void SharedMemoryIsWatched(string body, int threads, string what) => Assert.Contains(what, Fails(body + "ret;", threads));

    [Theory]
    [InlineData("ld.global.u32 %r1, [%rd0+64];", 1, 1, "4 bytes lie outside of every view: byte 64 of memory, which has 64")]
    [InlineData("st.u32 [%rd0+-4], 1;", 1, 1, "byte -4 of memory, which has 64")]
    [InlineData("ld.global.v2.u32 {%r1, %r2}, [%rd0+60];", 1, 1, "8 bytes are not aligned to 8")]
    [InlineData("ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd0+56];", 1, 1, "not aligned to 16")]
    [InlineData("st.global.u32 [%rd0], %r0;", 2, 1, "thread 1: races with a write by thread 0")]
    [InlineData("st.global.u32 [%rd0], 1;", 1, 2, "group 1, thread 0: races with a write by another group")]
    [InlineData("st.global.u32 [%rd0], 1; bar.sync 0;", 1, 2, "races with a write by another group")]
    [InlineData("ld.global.u32 %r1, [%rd0]; st.global.u32 [%rd0], 1;", 1, 2, "races with a write by another group")]
    [InlineData("atom.global.add.u32 %r1, [%rd0], 1; ld.global.u32 %r2, [%rd0];", 2, 1, "races with a write by thread 1 and others")]
    public void GlobalMemoryIsWatched(string body, int threads, int groups, string what) => Assert.Contains(what, Fails(body + "ret;", threads, groups));

    [Theory]
    [InlineData("setp.lt.u32 %p1, %r0, 40; @%p1 bra DONE; bar.sync 0; DONE:\n ret;", "thread 40: waits at a barrier, but thread 0 has ended")]
    [InlineData("setp.lt.u32 %p1, %r0, 40; @%p1 bra OTHER; bar.sync 0; ret; OTHER:\n bar.sync 0; ret;", "thread 0: waits at a barrier, but thread 40 waits at line ")]
    [InlineData("setp.lt.u32 %p1, %r0, 7; @%p1 exit; bar.warp.sync -1; ret;", "the threads it has to meet here never come")]
    [InlineData("setp.lt.u32 %p1, %r0, 7; @%p1 exit; shfl.sync.idx.b32 %r1, %r0, 0, 31, 0xffffff80; ret;", "reads from lane 0, which is not here")]
    [InlineData("L:\n bra L;", "does not end within")]
    public void ThreadsThatGoApartAreSeen(string body, string what) => Assert.Contains(what, Fails(body, 64));

    [Theory]
    [InlineData("frobnicate.s32 %r1, %r2;", "`frobnicate.s32 %r1, %r2;`: the machine does not know this instruction")]
    [InlineData("add.rz.f32 %f1, %f2, %f3;", "does not know this instruction")]
    [InlineData("add.s32 %r1, %r2;", "does not know this instruction")]
    [InlineData("bar.sync 1, 64;", "does not know this instruction")]
    [InlineData("add.s32 %r1, %r2, %x3;", "%x3 is no register, number or variable")]
    [InlineData("bra nowhere;", "there is no label nowhere")]
    [InlineData(".local .b32 slot;", "is not known to the machine")]
    public void WhatIsNotKnownIsNamed(string body, string what) => Assert.Contains(what, Fails(body, 1));

    private static string Fails(string body, int threads, int groups = 1, int words = 16) =>
        Assert.Throws<PtxFault>(() => PtxRun.On(body, new uint[words], threads, groups)).Message;

    internal readonly record struct Arguments(ArrayView<float> X, ArrayView<float> Y, int Barrier);

    /// <summary>Turns a group's numbers round, and forgets a barrier where it is told to.</summary>
    private static void Reverse(Arguments a)
    {
        var tile = SharedMemory.Allocate<float>(64);
        tile[Group.IdxX] = a.X[Grid.IdxX * 64 + Group.IdxX];
        if (a.Barrier != 0)
            Group.Barrier();
        a.Y[Grid.IdxX * 64 + Group.IdxX] = tile[63 - Group.IdxX];
    }

    /// <summary>A kernel as they are written here: with its barrier it is right, without it the machine stops it.</summary>
    [Fact]
    public void AKernelWithoutItsBarrierIsStopped()
    {
        using var device = new PtxMachineDevice();
        float[] values = KernelTest.Random(1, 128), got = new float[128];
        TensorView x = device.Rent(new Shape(128), DType.F32, ""), between = device.Rent(new Shape(128), DType.F32, ""), y = device.Rent(new Shape(128), DType.F32, "");
        Assert.NotEqual(x.Buffer, between.Buffer);
        device.Upload<float>(values, x);
        device.Launch(Reverse, 2, 64, new Arguments(device.F32(x), device.F32(y), 1));
        device.Download<float>(y, got);
        Assert.Equal([.. values[..64].Reverse(), .. values[64..].Reverse()], got);
        Assert.InRange(device.Executed, 2 * 64 * 10, 2 * 64 * 60); // some thirty instructions a thread

        var fault = Assert.Throws<PtxFault>(() => device.Launch(Reverse, 2, 64, new Arguments(device.F32(x), device.F32(y), 0)));
        Assert.Contains("PtxFaultTests.Reverse, line ", fault.Message);
        Assert.Contains("of shared memory", fault.Message);
        fault = Assert.Throws<PtxFault>(() => device.Launch(Reverse, 3, 64, new Arguments(device.F32(x), device.F32(y), 1)));
        Assert.Contains("group 2, thread 0: 4 bytes lie outside of every view: byte 512 of X, which has 512", fault.Message);
    }
}
