using System.Runtime.InteropServices;

namespace CudaKernels.Tests;

/// <summary>Runs hand-written PTX on the machine: a body over one array of cells, whose address is in %rd0.</summary>
internal static class PtxRun
{
    private const string Header = """
        .version 8.0
        .target sm_90
        .address_size 64
        .visible .entry kernel(
            .param .u64 memory
        )
        {
            .reg .pred %p<10>;
            .reg .b16 %h<10>;
            .reg .b32 %r<60>;
            .reg .b64 %rd<20>;
            .reg .f32 %f<30>;
            .reg .f64 %fd<10>;
            .shared .align 16 .b8 tile[4096];
            ld.param.u64 %rd0, [memory];
            mov.u32 %r0, %tid.x;

        """;

    /// <summary>The memory after the body has run in each thread of each group.</summary>
    public static T[] On<T>(string body, T[] memory, int threads = 32, int groups = 1, bool backwards = false) where T : unmanaged =>
        Program($"{Header}{body}\n}}\n", memory, threads, groups, backwards);

    /// <summary>The same for a whole text, whose entry takes the address of the memory.</summary>
    public static unsafe T[] Program<T>(string text, T[] memory, int threads, int groups = 1, bool backwards = false) where T : unmanaged
    {
        var program = new PtxDecoder("kernel", text).Decode();
        byte* aligned = (byte*)NativeMemory.AlignedAlloc((nuint)(memory.Length * sizeof(T)), 16);
        try
        {
            var content = new Span<T>(aligned, memory.Length);
            memory.CopyTo(content);
            var arguments = new PtxArguments(BitConverter.GetBytes((ulong)aligned), [new("memory", (ulong)aligned, memory.Length * sizeof(T))]);
            PtxMachine.Run(program, groups, threads, arguments, backwards);
            return content.ToArray();
        }
        finally
        {
            NativeMemory.AlignedFree(aligned);
        }
    }

    /// <summary>What one thread leaves in a register after some instructions.</summary>
    /// <param name="register">A name, with its type: "s32 %r1".</param>
    public static ulong Value(string instructions, string register)
    {
        string[] parts = register.Split(' ');
        return On($"{instructions}\nst.global.{parts[0]} [%rd0], {parts[1]};\nret;", new ulong[1], threads: 1)[0];
    }
}
