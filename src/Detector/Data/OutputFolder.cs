namespace CudaKernels.Detection;

/// <summary>Folders that a command writes results into.</summary>
internal static class OutputFolder
{
    /// <summary>Makes the folder and those above it where they are missing.</summary>
    /// <exception cref="DataException">It cannot be made; names it.</exception>
    public static void Make(string path)
    {
        try
        {
            Directory.CreateDirectory(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{path}: the folder cannot be made: {e.Message}", e);
        }
    }
}
