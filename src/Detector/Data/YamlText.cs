using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace CudaKernels.Detection;

/// <summary>Reads the YAML files a user writes: configuration and data sets.</summary>
internal static class YamlText
{
    /// <summary>The root of the first document, or null when the file is empty.</summary>
    /// <exception cref="DataException">The file is absent, unreadable or not YAML; names path and line.</exception>
    public static YamlNode? Load(string path)
    {
        try
        {
            using var reader = new StreamReader(path);
            var stream = Parse(path, reader);
            return stream.Documents.Count == 0 ? null : stream.Documents[0].RootNode;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DataException(File.Exists(path) ? $"{path}: cannot read it: {error.Message}" : $"{path}: does not exist", error);
        }
    }

    private static YamlStream Parse(string path, TextReader reader)
    {
        var parser = new Parser(reader);
        try
        {
            var stream = new YamlStream();
            stream.Load(parser);
            return stream;
        }
        catch (YamlException error)
        {
            throw new DataException($"{path}: line {error.Start.Line}: not readable as YAML: {error.Message}", error);
        }
        catch (Exception error) when (error is InvalidOperationException or ArgumentException)
        {
            throw new DataException($"{path}: line {parser.Current?.End.Line ?? 1}: not readable as YAML from here on", error);
        }
    }
}
