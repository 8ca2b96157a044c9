using System.Text.Json.Serialization;

namespace CudaKernels.Tests;

[JsonConverter(typeof(JsonStringEnumConverter<RungState>))]
internal enum RungState
{
    Ok,
    Failed,
    Skipped,
}

/// <summary>One check of the ladder.</summary>
/// <param name="Name">A letter, or a letter and what it is split into: "e:ConvTests".</param>
/// <param name="Work">Given the device's name; returns the figures, throws what is wrong, <see cref="RungSkipped"/> where it does not apply.</param>
internal sealed record Rung(string Name, string What, Func<string, string> Work);

/// <param name="Text">Figures, or why it failed or was skipped.</param>
internal sealed record RungResult(string Name, string What, RungState State, double Seconds, string Text);

/// <summary>The rung does not apply to this device or machine; the message says why.</summary>
internal sealed class RungSkipped(string reason) : Exception(reason);
