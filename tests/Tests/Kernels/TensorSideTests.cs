using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>
/// The bank arithmetic of <see cref="TensorSide"/>, from the places its permutations give: what one access of shared memory touches at once lies in 32 different banks, or in the same word.
/// A chunk of 16 bytes is four banks; chunks whose places are equal modulo 8 share them.
/// </summary>
public sealed class TensorSideTests
{
    private const int Banks = 32, ChunkWords = 4;

    /// <summary>Every eight rows of which ldmatrix reads one chunk, and every eight threads that copy neighbouring chunks.</summary>
    [Fact]
    public void RowsAreReadAndWrittenWithoutConflict()
    {
        for (int row = 0; row < 128; row += 8)
            for (int chunk = 0; chunk < TensorSide.RowChunks; chunk++)
                AllBanks([.. Enumerable.Range(row, 8).Select(r => r * TensorSide.RowChunks + TensorSide.Swizzle(r, chunk))]);
        for (int thread = 0; thread < 512; thread += 8)
            AllBanks([.. Enumerable.Range(thread, 8).Select(t => t / 4 * TensorSide.RowChunks + TensorSide.Swizzle(t / 4, t % 4))]);
    }

    /// <summary>The same with lines of depth: eight lines and one chunk for ldmatrix; eight rows and four lines, word by word, for single loads.</summary>
    [Theory]
    [InlineData(64)]
    [InlineData(128)]
    public void LinesAreReadAndWrittenWithoutConflict(int size)
    {
        int chunks = size / 8; // bf16
        for (int line = 0; line < 32; line += 8)
            for (int chunk = 0; chunk < chunks; chunk++)
                AllBanks([.. Enumerable.Range(line, 8).Select(l => l * chunks + Bf16.Swizzle(l, chunk))]);
        for (int line = 0; line < 32; line++)
            for (int chunk = 0; chunk < chunks; chunk += 8)
                AllBanks([.. Enumerable.Range(chunk, 8).Select(c => line * chunks + Bf16.Swizzle(line, c))]);

        chunks = size / 4; // TF32
        for (int line = 0; line < 16; line += 4)
            for (int row = 0; row < size; row += 8)
                Assert.Equal(Banks, Enumerable.Range(0, 32).Select(lane => Word(line + lane % 4, row + lane / 4) % Banks).Distinct().Count());
        for (int line = 0; line < 16; line++)
            for (int chunk = 0; chunk < chunks; chunk += 8)
                AllBanks([.. Enumerable.Range(chunk, 8).Select(c => line * chunks + Tf32.Swizzle(line, c))]);

        int Word(int line, int row) => ChunkWords * (line * chunks + Tf32.Swizzle(line, row / ChunkWords)) + row % ChunkWords;
    }

    /// <summary>A permutation loses no chunk: those of a line stay its own.</summary>
    [Fact]
    public void PermutationsKeepEveryChunk()
    {
        for (int line = 0; line < 32; line++)
        {
            Assert.Equal(Enumerable.Range(0, 4), Enumerable.Range(0, 4).Select(c => TensorSide.Swizzle(line, c)).Order());
            Assert.Equal(Enumerable.Range(0, 8), Enumerable.Range(0, 8).Select(c => Bf16.Swizzle(line, c)).Order());
            Assert.Equal(Enumerable.Range(0, 8), Enumerable.Range(0, 8).Select(c => Tf32.Swizzle(line, c)).Order());
        }
    }

    /// <summary>Half a warp lays the pairs of four rows of sums.</summary>
    [Fact]
    public void SumsAreLaidWithoutConflict()
    {
        AllDifferent(TensorTile.Pitch<Tile64>());
        AllDifferent(TensorTile.Pitch<Tile128>());

        static void AllDifferent(int pitch) =>
            Assert.Equal(Banks, Enumerable.Range(0, 16).SelectMany(lane => (int[])[lane / 4 * pitch + lane % 4 * 2, lane / 4 * pitch + lane % 4 * 2 + 1]).Select(word => word % Banks).Distinct().Count());
    }

    private static void AllBanks(int[] places) => Assert.Equal(Banks / ChunkWords, places.Select(place => place % (Banks / ChunkWords)).Distinct().Count());
}
