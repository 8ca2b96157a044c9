using Xunit;

namespace CudaKernels.Tests;

/// <summary>The lint sees every fault it looks for, and none in sound text.</summary>
public sealed class PtxLintTests
{
    [Theory]
    [InlineData("cvt.rn.f64.u32 %fd1, %r1;", "double")]
    [InlineData(".local .align 4 .b8 __local_depot0[64];", "local memory")]
    [InlineData("@%p1 bra.uni L_1;", "uniform")]
    [InlineData("@!%p12 bra.uni\tL_1;", "uniform")]
    [InlineData("brx.idx.uni %r1, table;", "jump table")]
    [InlineData("tanh.approx.f32 %f1, %f2;", "2^-11")]
    [InlineData("sin.approx.f32 %f1, %f2;", "2^-11")]
    [InlineData(".extern .func (.param .b32 r) FusedMultiplyAdd(.param .b32 a);\n call (r), FusedMultiplyAdd, (a);", "not in the text")]
    [InlineData("call.uni missing;", "not in the text")]
    public void FaultsAreSeen(string text, string what) => Assert.Contains(what, Assert.Single(PtxLint.Check(text, doubles: false)));

    [Theory]
    [InlineData("bra.uni L_1;\n@%p1 bra L_2;")]
    [InlineData(".reg .f64 %fd<3>;")]
    [InlineData("brx.idx %r1, table;")]
    [InlineData("ex2.approx.f32 %f1, %f2;")]
    [InlineData(".func (.param .b32 r) Twice(.param .b32 a)\n{\n ret;\n}\n call (r), Twice, (a);")]
    public void SoundTextPasses(string text) => Assert.Empty(PtxLint.Check(text, doubles: false));

    [Fact]
    public void DoublesPassWhereTheyAreMeant() => Assert.Empty(PtxLint.Check("add.f64 %fd1, %fd2, %fd3;", doubles: true));
}
