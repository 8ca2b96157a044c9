namespace CudaKernels.Detection;

/// <summary>Reads small text files of a data set with errors that name them.</summary>
internal static class TextFile
{
    /// <summary>All lines of a file.</summary>
    /// <exception cref="DataException">The file is missing or cannot be read.</exception>
    public static string[] ReadLines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DataException(File.Exists(path) ? $"{path}: cannot read it: {error.Message}" : $"{path}: does not exist", error);
        }
    }
}
