using CudaKernels.Cli;
using Xunit;

namespace CudaKernels.Tests;

public sealed class InstructionCountsTests
{
    [Fact]
    public void MachineCodeIsCountedByWhatItDoes()
    {
        const string Text = """
            .text.Kernel_Kernel:
                    /*0000*/                   LDC R1, c[0x0][0x28] ;
                    /*0010*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;
                    /*0020*/                   LD.E R9, desc[UR4][R2.64] ;
                    /*0030*/              @UP1 FFMA R4, R4, R5, R6 ;
                    /*0040*/                   LDS.128 R4, [R2] ;
                    /*0050*/                   STS [R2], R4 ;
                    /*0054*/                   HMMA.1688.F32.TF32 R4, R8, R12, R4 ;
                    /*0058*/                   LDSM.16.M88.4 R8, [R2] ;
                    /*005c*/              @!P0 LDGSTS.E.BYPASS.128 [R2], desc[UR4][R4.64] ;
                    /*0060*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
                    /*0070*/                   STL [R1], R4 ;
                    /*0080*/                   ST.E desc[UR4][R2.64], R4 ;
            .L_x_0:
                    /*0090*/                   BRA `(.L_x_0);
                    /*00a0*/                   NOP;
            """;
        Assert.Equal(new(All: 13, MultiplyAdds: 1, Loads: 2, WideLoads: 1, Stores: 1, SharedLoads: 1, SharedStores: 1, Matrices: 1, Fragments: 1, Copies: 1, Barriers: 1, Local: 1), InstructionCounts.OfMachineCode(Text));
    }

    [Fact]
    public void PtxIsCountedWithoutDirectivesAndLabels() => Assert.Equal(4, InstructionCounts.OfPtx("""
        .visible .entry Kernel(
        	.param .align 8 .b8 a[16]
        )
        {
        	.reg .f32	%f<250>;
        	ld.param.b64	%rd1, [a];
        L_1:
        	@!%p1 bra	L_1;
        	bar.sync 0;
        	ret;
        }
        """));
}
