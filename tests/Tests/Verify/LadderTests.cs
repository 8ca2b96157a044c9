using System.Diagnostics;
using System.Text.Json;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>The ladder goes on whatever a rung does, and tells what it did.</summary>
public sealed class LadderTests
{
    [Fact]
    public void RungsOfEveryLetterAreThere()
    {
        string[] names = [.. Ladder.Rungs.Select(rung => rung.Name)];
        Assert.Equal(names.Length, names.Distinct().Count());
        foreach (string name in (string[])["a", "b", "c", "d", "e:ConvTests", "f", "g", "h", "i", "j", "k", "memory", "demo"])
            Assert.Contains(name, names);
        Assert.True(Ladder.Belongs(Ladder.Rungs[0], []));
        Assert.Equal(["d"], Ladder.Rungs.Where(rung => Ladder.Belongs(rung, ["d"])).Select(rung => rung.Name));
        Assert.All(Ladder.Rungs.Where(rung => Ladder.Belongs(rung, ["e"])), rung => Assert.StartsWith("e:", rung.Name));
    }

    [Fact]
    public void ARungPassesFailsOrIsSkippedInItsOwnWords()
    {
        Assert.Equal(("cpu", RungState.Ok), Outcome(device => device));
        Assert.Equal(("wrong", RungState.Failed), Outcome(_ => throw new InvalidOperationException("wrong")));
        Assert.Equal(("not here", RungState.Skipped), Outcome(_ => throw new RungSkipped("not here")));

        static (string, RungState) Outcome(Func<string, string> work)
        {
            var result = Ladder.RunHere(new("x", "what", work), "cpu");
            return (result.Text, result.State);
        }
    }

    [Fact]
    public void AProcessGivesItsResultOrFails()
    {
        var rung = new Rung("x", "what", _ => "");
        var good = new RungResult("x", "what", RungState.Skipped, 1.5, "why");
        Assert.Equal(good, Run($"echo words; echo '{JsonSerializer.Serialize(good)}'", 60));
        var crashed = Run("echo first >&2; echo last words >&2; exit 139", 60);
        Assert.Equal((RungState.Failed, "the process ended with exit code 139: last words"), (crashed.State, crashed.Text));
        Assert.Equal(RungState.Failed, Run("echo nothing of use", 60).State);
        var endless = Run("sleep 60", 0.2);
        Assert.Equal((RungState.Failed, "did not end within 0 s"), (endless.State, endless.Text));

        RungResult Run(string script, double seconds) => Ladder.RunApart(rung, new ProcessStartInfo("sh", ["-c", script]), TimeSpan.FromSeconds(seconds));
    }
}
