using System.Text;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Control flow and what threads do together: branches, tables, calls, shuffles, votes, copies, matrices.</summary>
public sealed class PtxWarpTests
{
    /// <summary>Stores %r9 as this thread's number.</summary>
    private const string Store = "mul.wide.u32 %rd9, %r0, 4; add.u64 %rd9, %rd0, %rd9; st.global.u32 [%rd9], %r9; ret;";

    private static int[] Numbers(string body, int threads = 32) => PtxRun.On(body + Store, new int[threads], threads);

    [Fact]
    public void ThreadsLoopAsOftenAsEachMustAndMeetAgain()
    {
        int[] sums = Numbers("""
            mov.u32 %r9, 0;
            mov.u32 %r1, 0;
            LOOP:
            setp.gt.u32 %p1, %r1, %r0;
            @%p1 bra DONE;
            add.u32 %r9, %r9, %r1;
            add.u32 %r1, %r1, 1;
            bra.uni LOOP;
            DONE:
            activemask.b32 %r2;
            setp.ne.u32 %p2, %r2, -1;
            @%p2 mov.u32 %r9, 0;

            """);
        Assert.Equal([.. Enumerable.Range(0, 32).Select(i => i * (i + 1) / 2)], sums);
    }

    [Fact]
    public void TablesAndGuardsSendEachThreadItsWay()
    {
        int[] got = Numbers("""
            and.b32 %r1, %r0, 3;
            TABLE: .branchtargets A, B, C, B;
            brx.idx %r1, TABLE;
            A:
            mov.u32 %r9, 10;
            bra END;
            B:
            mov.u32 %r9, 20;
            bra END;
            C:
            mov.u32 %r9, 30;
            END:
            setp.lt.u32 %p1, %r0, 16;
            @!%p1 add.u32 %r9, %r9, 1;

            """);
        int[] ways = [10, 20, 30, 20];
        Assert.Equal([.. Enumerable.Range(0, 32).Select(i => ways[i % 4] + (i < 16 ? 0 : 1))], got);
    }

    /// <summary>As the compiler writes them: two functions, one of which calls the other and has two results.</summary>
    [Fact]
    public void FunctionsAreCalled()
    {
        const string Text = """
            .visible .func (.param .f32 result) Square(.param .f32 a)
            ;
            .visible .func (.param .f32 result) Square(.param .f32 a)
            {
                .reg .f32 %f<2>;
                ld.param.f32 %f0, [a];
                mul.f32 %f1, %f0, %f0;
                st.param.f32 [result], %f1;
                ret;
            }
            .visible .func (.param .align 4 .b8 pair[8]) Powers(.param .f32 a)
            {
                .reg .f32 %f<3>;
                ld.param.f32 %f0, [a];
                { .param .f32 p; st.param.f32 [p], %f0; .param .f32 q; call.uni (q), Square, (p); ld.param.f32 %f1, [q]; }
                { .param .f32 p; st.param.f32 [p], %f1; .param .f32 q; call.uni (q), Square, (p); ld.param.f32 %f2, [q]; }
                st.param.f32 [pair], %f1;
                st.param.f32 [pair+4], %f2;
                ret;
            }
            .visible .entry kernel(.param .u64 memory)
            {
                .reg .b64 %rd<3>;
                .reg .b32 %r<2>;
                .reg .f32 %f<4>;
                ld.param.u64 %rd0, [memory];
                mov.u32 %r0, %tid.x;
                mul.wide.u32 %rd1, %r0, 4;
                add.u64 %rd2, %rd0, %rd1;
                ld.global.f32 %f0, [%rd2];
                { .param .f32 p; st.param.f32 [p], %f0; .param .align 4 .b8 q[8]; call.uni (q), Powers, (p); ld.param.f32 %f1, [q]; ld.param.f32 %f2, [q+4]; }
                add.f32 %f3, %f1, %f2;
                st.global.f32 [%rd2], %f3;
                ret;
            }

            """;
        float[] numbers = [0, 1, 2, 3, 0.5f];
        Assert.Equal([0, 2, 20, 90, 0.3125f], PtxRun.Program(Text, numbers, numbers.Length));
    }

    [Theory]
    [InlineData("up", 3, 0x00, 0)]
    [InlineData("down", 3, 0x1f, 0)]
    [InlineData("bfly", 5, 0x1f, 0)]
    [InlineData("idx", 7, 0x1f, 0)]
    [InlineData("idx", 3, 0x181f, 24)] // segments of eight
    [InlineData("down", 2, 0x181f, 24)]
    public void ShufflesReadTheLaneTheyName(string mode, int operand, int bounds, int segment)
    {
        int[] got = Numbers($"mul.lo.u32 %r1, %r0, 10; shfl.sync.{mode}.b32 %r9|%p1, %r1, {operand}, {bounds}, -1; @!%p1 add.u32 %r9, %r9, 1000;");
        for (int lane = 0; lane < 32; lane++)
        {
            int first = lane & segment, last = segment == 0 ? 31 : first + 7;
            int from = mode switch { "up" => lane - operand, "down" => lane + operand, "bfly" => lane ^ operand, _ => first + operand };
            Assert.Equal(from >= first && from <= last ? 10 * from : 10 * lane + 1000, got[lane]);
        }
    }

    [Fact]
    public void VotesCountTheLanes()
    {
        Assert.All(Numbers("setp.lt.u32 %p1, %r0, 5; vote.sync.ballot.b32 %r9, %p1, -1;"), ballot => Assert.Equal(31, ballot));
        Assert.All(Numbers("setp.lt.u32 %p1, %r0, 5; vote.sync.any.pred %p2, %p1, -1; selp.b32 %r9, 1, 0, %p2;"), any => Assert.Equal(1, any));
        Assert.All(Numbers("setp.lt.u32 %p1, %r0, 5; vote.sync.all.pred %p2, %p1, -1; selp.b32 %r9, 1, 0, %p2;"), all => Assert.Equal(0, all));
    }

    [Fact]
    public void AtomicsAddUpInEveryOrder()
    {
        int[] memory = new int[40];
        const string Body = "atom.global.add.u32 %r1, [%rd0], %r0; red.global.max.s32 [%rd0+4], %r0; atom.global.cas.b32 %r2, [%rd0+8], 0, 7; ret;";
        foreach (bool backwards in (bool[])[false, true])
            Assert.Equal([2 * 63 * 32, 63, 7], PtxRun.On(Body, memory, threads: 64, groups: 2, backwards)[..3]);
    }

    [Fact]
    public void VectorsMoveWhole()
    {
        uint[] got = PtxRun.On<uint>("ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd0]; st.shared.v4.u32 [tile+16], {%r4, %r3, %r2, %r1}; ld.shared.v2.u32 {%r5, %r6}, [tile+24]; st.global.v2.u32 [%rd0], {%r5, %r6}; ret;",
            [1, 2, 3, 4u], threads: 1);
        Assert.Equal([2, 1, 3, 4u], got);
    }

    /// <summary>Copies land when they are waited for, not before; groups in their order.</summary>
    [Fact]
    public void CopiesLandWhenTheyAreWaitedFor()
    {
        const string Copy = """
            cp.async.cg.shared.global [tile], [%rd0], 16;
            cp.async.commit_group;
            cp.async.ca.shared.global [tile+16], [%rd0+16], 8, 4;
            cp.async.commit_group;
            WAIT
            ld.shared.u32 %r1, [tile+12];
            ld.shared.v2.u32 {%r2, %r3}, [tile+16];
            st.global.u32 [%rd0], %r1;
            st.global.v2.u32 [%rd0+8], {%r2, %r3};
            ret;
            """;
        uint[] memory = [1, 2, 3, 4, 5, 6];
        Assert.Equal([4, 2, 5, 0, 5, 6u], PtxRun.On(Copy.Replace("WAIT", "cp.async.wait_group 0;"), memory, threads: 1));
        Assert.Equal([4, 2, 5, 0, 5, 6u], PtxRun.On(Copy.Replace("WAIT", "cp.async.wait_all;"), memory, threads: 1));
        foreach (var (wait, line) in ((string, string)[])[("", "%r1"), ("cp.async.wait_group 1;", "%r2")])
        {
            string message = Assert.Throws<PtxFault>(() => PtxRun.On(Copy.Replace("WAIT", wait), memory, threads: 1)).Message;
            Assert.Contains("touches what an asynchronous copy is writing", message);
            Assert.Contains(line, message);
        }
    }

    /// <summary>
    /// A is 16 x K, B K x 8, C 16 x 8, row after row in memory; each thread takes its fragments as the figures of the PTX ISA place
    /// them (group = lane / 4, member = lane % 4) and puts its four sums back the same way.
    /// </summary>
    [Theory]
    [InlineData(8, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32")]
    [InlineData(16, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")]
    public void MatricesMultiply(int depth, string instruction)
    {
        // Small whole numbers: exact in every type.
        float[] a = Whole(1, 16 * depth), b = Whole(2, depth * 8), c = Whole(3, 16 * 8);
        bool pairs = depth == 16;
        var body = new StringBuilder("shr.u32 %r1, %r0, 2;\nand.b32 %r2, %r0, 3;\nmul.lo.u32 %r3, %r1, 4;\n");
        for (int i = 0; i < 4; i++)
            Fragment($"%r{10 + i}", $"{8 * (i % 2)}", i / 2, 0, depth, 1);
        for (int i = 0; i < 2; i++)
            Fragment($"%r{20 + i}", "0", i, 16 * depth, 1, 8);
        for (int i = 0; i < 4; i++)
            Sum(i, $"ld.global.f32 %f{i}, [%rd2];");
        body.AppendLine($"{instruction} {{%f4, %f5, %f6, %f7}}, {{%r10, %r11, %r12, %r13}}, {{%r20, %r21}}, {{%f0, %f1, %f2, %f3}};");
        for (int i = 0; i < 4; i++)
            Sum(i, $"st.global.f32 [%rd2], %f{4 + i};");
        float[] got = PtxRun.On<float>(body + "ret;", [.. a, .. b, .. c])[(a.Length + b.Length)..];
        for (int m = 0; m < 16; m++)
            for (int n = 0; n < 8; n++)
                Assert.Equal(c[m * 8 + n] + Enumerable.Range(0, depth).Sum(k => a[m * depth + k] * b[k * 8 + n]), got[m * 8 + n]);

        // Register of a fragment: row or column group + add, k = member + 4 block; or the pair k = 2 member + 8 block and the one behind.
        void Fragment(string register, string add, int block, int start, int majorStride, int kStride)
        {
            string k = pairs ? $"mad.lo.u32 %r4, %r2, 2, {8 * block};" : $"add.u32 %r4, %r2, {4 * block};";
            body.AppendLine($"{k}\nadd.u32 %r5, %r1, {add};\nmul.lo.u32 %r5, %r5, {majorStride};\nmad.lo.u32 %r5, %r4, {kStride}, %r5;\nadd.u32 %r5, %r5, {start};");
            body.AppendLine($"mul.wide.u32 %rd1, %r5, 4;\nadd.u64 %rd2, %rd0, %rd1;\nld.global.b32 {register}, [%rd2];");
            if (pairs)
                body.AppendLine($"ld.global.f32 %f9, [%rd2+{4 * kStride}];\nmov.b32 %f8, {register};\ncvt.rn.bf16x2.f32 {register}, %f9, %f8;");
        }

        // Sum i: row group + 8 (i / 2), column 2 member + i % 2.
        void Sum(int i, string access) =>
            body.AppendLine($"add.u32 %r5, %r1, {8 * (i / 2)};\nmul.lo.u32 %r5, %r5, 8;\nmad.lo.u32 %r5, %r2, 2, %r5;\nadd.u32 %r5, %r5, {i % 2 + a.Length + b.Length};\nmul.wide.u32 %rd1, %r5, 4;\nadd.u64 %rd2, %rd0, %rd1;\n{access}");
    }

    /// <summary>Four 8 x 8 matrices of 16-bit numbers, one behind the other: register i of lane l has elements 2 (l % 4) and the next of row l / 4 of matrix i.</summary>
    [Theory, InlineData(false), InlineData(true)]
    public void MatricesAreLoadedByRows(bool transpose)
    {
        ushort[] numbers = [.. Enumerable.Range(0, 256).Select(i => (ushort)i)];
        string load = transpose ? "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16" : "ldmatrix.sync.aligned.m8n8.x4.shared.b16";
        ushort[] got = PtxRun.On($$"""
            shl.b32 %r1, %r0, 4;
            cvt.u64.u32 %rd1, %r1;
            add.u64 %rd2, %rd0, %rd1;
            ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd2];
            mov.u64 %rd3, tile;
            add.u64 %rd3, %rd3, %rd1;
            st.shared.v4.u32 [%rd3], {%r2, %r3, %r4, %r5};
            bar.sync 0;
            cvt.u32.u64 %r6, %rd3;
            {{load}} {%r10, %r11, %r12, %r13}, [%r6];
            st.global.v4.u32 [%rd2], {%r10, %r11, %r12, %r13};
            ret;
            """, numbers);
        for (int lane = 0; lane < 32; lane++)
            for (int matrix = 0; matrix < 4; matrix++)
                for (int half = 0; half < 2; half++)
                {
                    int row = lane / 4, column = lane % 4 * 2 + half;
                    Assert.Equal(64 * matrix + (transpose ? 8 * column + row : 8 * row + column), got[8 * lane + 2 * matrix + half]);
                }
    }

    private static float[] Whole(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)random.Next(-9, 10))];
    }
}
