using CudaKernels.Detection;

namespace CudaKernels.Benchmarks;

/// <summary>
/// `scaling [MODEL [IMGSZ [IMAGES [ROUNDS]]]]`: training on one and on two ranks of one thread each, real runs on pictures made for them, with loader, agreement and log.
/// The runs take turns, a step each, so that a machine whose speed drifts slows all of them down; each ratio is that of one round, and the median of the rounds counts.
/// <code>
/// weak   = images/s of two ranks with IMAGES each over those of one rank with IMAGES
/// strong = images/s of two ranks with IMAGES each over those of one rank with all of them
/// strangers = the same as weak for two runs that know nothing of each other: what the machine's memory leaves of two
/// </code>
/// </summary>
internal static class RankScaling
{
    private const int WarmUp = 2;

    public static int Run(string model, int size, int images, int rounds)
    {
        string folder = Directory.CreateTempSubdirectory("rank-scaling").FullName;
        try
        {
            int steps = rounds + WarmUp + 1, batch = 2 * images;
            string data = SyntheticGenerator.Write(Path.Combine(folder, "data"), SyntheticGenerator.LeastImages + steps * batch * 8 / 7, size, seed: 1);
            using var one = Start("one", 1, images);
            using var stranger = Start("stranger", 1, images);
            using var whole = Start("whole", 1, batch);
            using var two = Start("two", 2, batch);
            foreach (var run in new[] { one, stranger, whole, two })
                for (int i = 0; i < WarmUp; i++)
                    run.Step();

            var weak = new List<double>();
            var strong = new List<double>();
            var strangers = new List<double>();
            var paces = new List<double[]>();
            for (int round = 0; round < rounds; round++)
            {
                double alone = one.Step(), together = two.Step(), all = whole.Step();
                one.Begin();
                stranger.Begin();
                double beside = Math.Max(one.End(), stranger.End());
                weak.Add(2 * alone / together);
                strong.Add(all / together);
                strangers.Add(2 * alone / beside);
                paces.Add([images / alone, batch / all, batch / together, batch / beside]);
            }
            string[] names = ["one rank", "one rank, whole batch", "two ranks", "two strangers"];
            Console.WriteLine($"{model} at {size} px, {images} images a rank, {rounds} rounds; median (quartiles)");
            for (int i = 0; i < names.Length; i++)
                Print($"images/s, {names[i]}", [.. paces.Select(p => p[i])]);
            Print("weak scaling", weak);
            Print("strong scaling", strong);
            Print("two strangers", strangers);
            Print("two ranks over two strangers", [.. weak.Zip(strangers, (ranks, apart) => ranks / apart)]);
            return 0;

            PacedTraining Start(string name, int ranks, int whole) => new(Path.Combine(folder, name), ranks,
                new TrainConfig { Data = data, Model = model, Imgsz = size, Batch = whole, Epochs = 1, Drops = [], Workers = 1 });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Print(string name, List<double> values)
    {
        double[] ordered = [.. values.Order()];
        double At(double share) => ordered[(int)Math.Round(share * (ordered.Length - 1))];
        Console.WriteLine(FormattableString.Invariant($"{name,-32} {At(0.5),6:F2} ({At(0.25):F2} to {At(0.75):F2})"));
    }
}
