using System.Runtime.InteropServices;

namespace CudaKernels.Detection;

/// <summary>
/// Replaces a file as a whole: the new content goes to a temporary file in the same folder, is flushed to the disk and then renamed
/// over the old file, and the folder is flushed. Whenever the program or the machine stops, the path holds the old or the new content.
/// </summary>
internal static partial class AtomicFile
{
    /// <param name="path">File to replace or create; its folder must exist.</param>
    /// <param name="write">Writes the content; what it throws leaves the old file as it was.</param>
    /// <exception cref="DataException">The file cannot be written: disk full, folder absent or not writable.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        // One fixed name: what a killed program left behind is overwritten the next time, and a second writer is refused.
        string temporary = path + ".writing";
        bool created = false;
        try
        {
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16))
            {
                created = true;
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e)
        {
            if (created)
                Remove(temporary);
            if (e is IOException or UnauthorizedAccessException)
                throw new DataException($"{path}: cannot be written: {e.Message}; {(File.Exists(path) ? "the file there is still the earlier one" : "nothing was left there")}", e);
            throw;
        }
        FlushFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    private static void Remove(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The first failure is the one to report.
        }
    }

    /// <summary>As <see cref="Write"/>, for text in UTF-8.</summary>
    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));

    /// <summary>
    /// Makes the rename itself durable. .NET opens no folders, hence the system calls; Windows needs none. A file system that
    /// cannot flush a folder says so here, and there is nothing better to do: the content is safe under one of its two names.
    /// </summary>
    private static void FlushFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
            return;
        int handle = Open(folder, 0);
        if (handle < 0)
            return;
        FlushToDisk(handle);
        Close(handle);
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int FlushToDisk(int handle);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int handle);
}
