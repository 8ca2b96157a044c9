namespace CudaKernels.Detection;

/// <summary>The models one can ask for by name.</summary>
internal static class ModelCatalog
{
    private sealed record Row(string Name, Func<string, IReadOnlyList<string>, float, DetectionModel> Create);

    private static readonly Row[] Rows =
    [
        new("ttfnet-18", (name, classes, alpha) => new TtfNet(name, classes, new ResNet(ResNetPlan.Of(18)), alpha)),
        new("ttfnet-34", (name, classes, alpha) => new TtfNet(name, classes, new ResNet(ResNetPlan.Of(34)), alpha, sizeConvolutions: 2)),
        new("ttfnet-53", (name, classes, alpha) => new TtfNet(name, classes, new DarkNet(), alpha, sizeConvolutions: 2, rate: new(0.015f, 96))),
        new("ttfnet-nano", (name, classes, alpha) => new TtfNet(name, classes, new ResNet(ResNetPlan.Of(18, divisor: 4)), alpha, divisor: 4)),
    ];

    public static IReadOnlyList<string> Names { get; } = [.. Rows.Select(r => r.Name)];

    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="classes">Class names; their number decides the width of the output.</param>
    /// <param name="alpha">Radius of the training targets as a share of half the box.</param>
    /// <exception cref="DataException">No such model; the nearest name is offered.</exception>
    public static DetectionModel Create(string name, IReadOnlyList<string> classes, float alpha = 0.54f)
    {
        var row = Rows.FirstOrDefault(r => r.Name == name)
            ?? throw new DataException($"model {name} is not known; did you mean {Nearest.To(name, Names)}? The models are {string.Join(", ", Names)}");
        if (classes.Count == 0)
            throw new DataException($"model {name}: expects at least one class but the list is empty");
        return row.Create(name, classes, alpha);
    }
}
