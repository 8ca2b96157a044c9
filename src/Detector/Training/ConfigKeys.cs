using System.Globalization;
using System.Reflection;
using System.Text;
using YamlDotNet.RepresentationModel;

namespace CudaKernels.Detection;

/// <summary>One setting and where it came from: "key=value" of the command line, or file and line.</summary>
internal readonly record struct Setting(string Key, string Value, string Origin);

/// <summary>
/// Reads and writes <see cref="TrainConfig"/> by key. One table, taken from the properties, serves the YAML file, key=value
/// arguments and the effective configuration a run folder keeps.
/// </summary>
internal static class ConfigKeys
{
    private static readonly PropertyInfo[] Properties =
        [.. typeof(TrainConfig).GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.CanWrite)];

    public static IReadOnlyList<string> Names { get; } = [.. Properties.Select(p => Snake(p.Name))];

    /// <summary>
    /// Recipe first (whichever setting names it last), then the settings in order. Drops follow a changed number of epochs
    /// unless they are set themselves.
    /// </summary>
    public static TrainConfig Build(IReadOnlyList<Setting> settings)
    {
        var config = new TrainConfig();
        foreach (var setting in settings.Where(s => s.Key == "recipe"))
            Set(config, setting);
        var recipe = Recipe.Find(config.Recipe);
        var epochs = settings.LastOrDefault(s => s.Key == "epochs");
        if (epochs.Key is not null)
        {
            Set(config, epochs);
            config.Validate();
            recipe = recipe.Stretch(config.Epochs);
        }
        (config.Epochs, config.Drops, config.Augment) = (recipe.Epochs, recipe.Drops, recipe.Augment);
        foreach (var setting in settings)
            Set(config, setting);
        config.Validate();
        return config;
    }

    /// <summary>Settings of a flat YAML file, in file order.</summary>
    public static IReadOnlyList<Setting> ReadFile(string path)
    {
        if (YamlText.Load(path) is not { } root)
            return [];
        if (root is not YamlMappingNode map)
            throw new DataException($"{path}:1: expects key: value lines");
        return [.. map.Children.Select(pair => new Setting(Text(path, pair.Key), Text(path, pair.Value), $"{path}:{pair.Key.Start.Line}"))];
    }

    /// <summary>One "key=value" argument.</summary>
    public static Setting Parse(string argument)
    {
        int equals = argument.IndexOf('=');
        return equals > 0
            ? new(argument[..equals].Trim(), argument[(equals + 1)..].Trim(), argument)
            : throw new DataException($"{argument}: expects key=value; keys are {string.Join(", ", Names)}");
    }

    /// <summary>The whole configuration as YAML that <see cref="ReadFile"/> takes back.</summary>
    public static string ToYaml(TrainConfig config)
    {
        var text = new StringBuilder();
        foreach (var property in Properties)
            text.Append(Snake(property.Name)).Append(": ").AppendLine(Quote(Format(property.GetValue(config))));
        return text.ToString();
    }

    private static void Set(TrainConfig config, Setting setting)
    {
        int index = Names.ToList().IndexOf(setting.Key);
        if (index < 0)
            throw new DataException($"{setting.Origin}: unknown key {setting.Key}; did you mean {Nearest.To(setting.Key, Names)}?");
        var property = Properties[index];
        try
        {
            property.SetValue(config, Convert(setting.Value, property.PropertyType));
        }
        catch (Exception e) when (e is FormatException or OverflowException or ArgumentException)
        {
            throw new DataException($"{setting.Origin}: {setting.Key} expects {Expectation(property.PropertyType)} but is '{setting.Value}'");
        }
    }

    private static object Convert(string value, Type type) =>
        type == typeof(string) ? value
        : type.IsEnum ? Enum.GetNames(type).Contains(value, StringComparer.OrdinalIgnoreCase)
            ? Enum.Parse(type, value, ignoreCase: true) : throw new FormatException()
        : type == typeof(int[]) ? value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(v => int.Parse(v, CultureInfo.InvariantCulture)).ToArray()
        : type == typeof(float[]) ? value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(Number).ToArray()
        : type == typeof(float) ? Number(value)
        : System.Convert.ChangeType(value, type, CultureInfo.InvariantCulture);

    // No group separators: 0,01 is not 1.
    private static float Number(string value) => float.Parse(value, NumberStyles.Float, CultureInfo.InvariantCulture);

    private static string Expectation(Type type) =>
        type.IsEnum ? string.Join(" or ", Enum.GetNames(type).Select(n => n.ToLowerInvariant()))
        : type == typeof(int[]) ? "whole numbers separated by commas"
        : type == typeof(float[]) ? "numbers separated by commas"
        : type == typeof(float) ? "a number such as 0.01"
        : type == typeof(ulong) ? "a whole number of at least 0"
        : type == typeof(string) ? "a text"
        : $"a whole number up to {(type == typeof(int) ? int.MaxValue : long.MaxValue)}";

    private static string Format(float value) => Format((object)value);

    private static string Format(object? value) => value switch
    {
        Enum e => e.ToString().ToLowerInvariant(),
        int[] list => "[" + string.Join(", ", list) + "]",
        float[] list => "[" + string.Join(", ", list.Select(Format)) + "]",
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value?.ToString() ?? "",
    };

    private static string Quote(string text) =>
        text.Length > 0 && text.All(c => char.IsAsciiLetterOrDigit(c) || "./-_[], +".Contains(c)) ? text
        : "'" + text.Replace("'", "''") + "'";

    private static string Text(string path, YamlNode node) => node switch
    {
        YamlScalarNode scalar => scalar.Value ?? "",
        YamlSequenceNode list when list.Children.All(c => c is YamlScalarNode) => string.Join(",", list.Children.Select(c => Text(path, c))),
        _ => throw new DataException($"{path}:{node.Start.Line}: expects a value or a list"),
    };

    private static string Snake(string name) =>
        string.Concat(name.Select((c, i) => char.IsUpper(c) ? (i > 0 ? "_" : "") + char.ToLowerInvariant(c) : c.ToString()));
}
