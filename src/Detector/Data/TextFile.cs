namespace CudaKernels.Detection;

/// <summary>Paths and small text files of a data set, with errors that name them.</summary>
internal static class TextFile
{
    /// <summary>The full path of a name that a data set gives, relative to a folder.</summary>
    /// <exception cref="DataException">The name cannot be a path.</exception>
    public static string Resolve(string folder, string name) => name.Contains('\0')
        ? throw new DataException($"{folder}: the name {name.Replace('\0', '?')} holds a null character and cannot be a path")
        : Path.GetFullPath(Path.Combine(folder, name));

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
