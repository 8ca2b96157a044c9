using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class LossTests
{
    public static TheoryData<int> Lanes => KernelTest.LanesAndByFour;

    [Theory, MemberData(nameof(Lanes))]
    public void SigmoidFocalEqualsGolden(int lanes) => Elementwise(lanes, "sigmoid_focal_loss", (file, io) => new SigmoidFocalLoss(
        io.X, io.Target, io.Loss, io.Gradient, io.Elements, io.Weight, Alpha: Number(file, "alpha"), Gamma: Number(file, "gamma"), Scale: io.Scale));

    [Theory, MemberData(nameof(Lanes))]
    public void SmoothL1EqualsGolden(int lanes) => Elementwise(lanes, "smooth_l1", (file, io) => new SmoothL1Loss(
        io.X, io.Target, io.Loss, io.Gradient, io.Elements, io.Weight, Beta: Number(file, "beta"), Scale: io.Scale));

    [Theory, MemberData(nameof(Lanes))]
    public void L1EqualsGolden(int lanes) => Elementwise(lanes, "l1_loss", (_, io) => new SmoothL1Loss(
        io.X, io.Target, io.Loss, io.Gradient, io.Elements, io.Weight, Beta: 0, Scale: io.Scale));

    [Theory, MemberData(nameof(Lanes))]
    public void BceWithLogitsEqualsGolden(int lanes) => Elementwise(lanes, "bce_with_logits", (_, io) => new BceWithLogitsLoss(
        io.X, io.Target, io.Loss, io.Gradient, io.Elements, io.Weight, io.PositiveWeight, Scale: io.Scale));

    [Theory, MemberData(nameof(Lanes))]
    public void CrossEntropyEqualsGolden(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("cross_entropy"))
        {
            using var test = new KernelTest(lanes);
            var file = GoldenFile.Load(path);
            var x = test.Upload(file, "x");
            var target = test.Upload(Array.ConvertAll(file.I64("target"), value => (int)value), file.Shape("target"));
            TensorView loss = test.Output(1), gradient = test.Output(x.Shape), elements = test.Output(target.Shape), total = test.Output(1);
            var classWeight = file.Has("weight") ? test.Upload(file, "weight") : default;
            bool none = Reduction(file) == "none";
            var upstream = none ? test.Upload(file, "grad_out") : default;
            int ignored = (int)Number(file, "ignore_index");
            float smoothing = Number(file, "label_smoothing");
            test.Run(new CrossEntropyTotal(target, total, classWeight, ignored));
            var normalizer = Reduction(file) == "mean" ? total : default;
            test.Run(new SoftmaxCrossEntropyLoss(x, target, loss, default, elements, default, classWeight, normalizer, ignored, smoothing));
            test.Compare(file, "out", none ? elements : loss, Tolerance.Sum);
            test.Run(new SoftmaxCrossEntropyLoss(x, target, loss, gradient, default, upstream, classWeight, normalizer, ignored, smoothing));
            test.Compare(file, "grad.x", gradient, Tolerance.SumGradient);
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void GiouEqualsGolden(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("giou_loss"))
        {
            using var test = new KernelTest(lanes);
            var file = GoldenFile.Load(path);
            TensorView first = test.Upload(file, "boxes1"), second = test.Upload(file, "boxes2");
            TensorView loss = test.Output(1), gradient = test.Output(first.Shape), elements = test.Output(first.Shape[0]);
            bool none = Reduction(file) == "none";
            float scale = Reduction(file) == "mean" ? 1f / first.Shape[0] : 1;
            test.Run(new GiouLoss(first, second, loss, default, elements, Scale: scale));
            test.Compare(file, "out", none ? elements : loss, Tolerance.Sum);
            if (!file.Has("grad.boxes1"))
                continue;
            var upstream = none ? test.Upload(file, "grad_out") : default;
            test.Run(new GiouLoss(first, second, loss, gradient, default, upstream, Scale: scale));
            test.Compare(file, "grad.boxes1", gradient, Tolerance.SumGradient);
            test.Run(new GiouLoss(second, first, loss, gradient, default, upstream, Scale: scale));
            test.Compare(file, "grad.boxes2", gradient, Tolerance.SumGradient);
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void RetinaFocalGivesTheValuesOfTheSpecification(int lanes)
    {
        using var test = new KernelTest(lanes);
        TensorView loss = test.Output(1), gradient = test.Output(2), elements = test.Output(2);
        test.Run(new SigmoidFocalLoss(test.Upload([-2f, 0.3f], 2), test.Upload([1f, 0f], 2), loss, gradient, elements));
        KernelTest.Close([.4125195, .2114428], test.Read(elements), new(0, 0, 1e-7), "loss");
        KernelTest.Close([-.2691784, .3221299], test.Read(gradient), new(0, 0, 1e-7), "gradient");
    }

    [Theory, InlineData(-2f, 1f, 1.6500782, -1.0767137), InlineData(-2f, .6f, 4.61712e-5, 1.246961e-4)]
    [InlineData(.3f, 0f, .2819237, .4295065), InlineData(1.7f, .6f, .03418456, .02603578)]
    public void HeatmapFocalGivesTheValuesOfTheSpecification(float logit, float target, double loss, double gradient)
    {
        foreach (int lanes in (int[])[1, 4, 8, 16])
        {
            using var test = new KernelTest(lanes);
            TensorView total = test.Output(1), slope = test.Output(19);
            test.Run(new HeatmapFocalLoss(test.Fill([19], logit), test.Fill([19], target), total, slope, Scale: 1 / 19f));
            KernelTest.Close([loss], test.Read(total), new(0, 1e-6), "loss");
            foreach (float value in test.Read(slope))
                KernelTest.Close([gradient / 19], [value], new(0, 1e-6), "gradient");
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void HeatmapFocalEqualsTheClampedDoubleReference(int lanes)
    {
        foreach (int length in (int[])[0, 1, 7, 16, 17, 1024, 16385, 40001])
        {
            using var test = new KernelTest(lanes);
            float[] x = KernelTest.Random(length, length, 12), t = Heatmap(length);
            TensorView logits = test.Upload(x, length), target = test.Upload(t, length);
            TensorView loss = test.Output(1), gradient = test.Output(length), count = test.Output(1);
            test.Run(new HeatmapPositives(target, count));
            Assert.Equal(t.Count(value => value == 1), test.Read(count)[0]);
            test.Run(new HeatmapFocalLoss(logits, target, loss, gradient, count, Scale: 2));

            double divisor = Math.Max(1, t.Count(value => value == 1)), sum = 0;
            var slopes = new double[length];
            for (int i = 0; i < length; i++)
            {
                sum += HeatmapReference(x[i], t[i]);
                slopes[i] = (HeatmapReference(x[i] + 1e-5, t[i]) - HeatmapReference(x[i] - 1e-5, t[i])) / 2e-5 * 2 / divisor;
            }
            KernelTest.Close([2 * sum / divisor], test.Read(loss), Tolerance.Sum, "loss");
            var got = test.Read(gradient);
            KernelTest.Close(slopes, got, Tolerance.SumGradient, "gradient");
            for (int i = 0; i < length; i++)
                if (Math.Abs(x[i]) > 9.2103)
                    Assert.Equal(0, got[i]);
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void HeatmapFocalWithoutPeaksIsUndivided(int lanes)
    {
        using var test = new KernelTest(lanes);
        TensorView target = test.Fill([5], 0.999999f), logits = test.Fill([5], 1), count = test.Output(1), divided = test.Output(1), plain = test.Output(1);
        test.Run(new HeatmapPositives(target, count));
        test.Run(new HeatmapFocalLoss(logits, target, divided, Normalizer: count));
        test.Run(new HeatmapFocalLoss(logits, target, plain));
        Assert.Equal(0, test.Read(count)[0]);
        Assert.Equal(test.Read(plain), test.Read(divided));
    }

    [Theory, MemberData(nameof(Lanes))]
    public void NotANumberReachesTheLoss(int lanes)
    {
        using var test = new KernelTest(lanes);
        TensorView logits = test.Upload([0f, 1f, float.NaN, 2f], 4), target = test.Fill([4], 0), loss = test.Output(1), gradient = test.Output(4);
        test.Run(new HeatmapFocalLoss(logits, target, loss, gradient));
        Assert.True(float.IsNaN(test.Read(loss)[0]) && float.IsNaN(test.Read(gradient)[2]));
    }

    [Theory, MemberData(nameof(Lanes))]
    public void FocalLossesKeepRelativeAccuracyInTheTails(int lanes)
    {
        using var test = new KernelTest(lanes);
        float[] x = [.. Enumerable.Range(-90, 181).Select(i => i / 10f)];
        TensorView logits = test.Upload(x, x.Length), loss = test.Output(1), gradient = test.Output(x.Length), elements = test.Output(x.Length);
        foreach (float t in (float[])[0, 1])
        {
            var target = test.Fill([x.Length], t);
            test.Run(new HeatmapFocalLoss(logits, target, loss, gradient));
            double[] slopes = [.. x.Select(value => HeatmapSlope(value, t))];
            KernelTest.Close(slopes, test.Read(gradient), new(0, 2e-5), "heatmap gradient");
            test.Run(new BceWithLogitsLoss(logits, target, loss, gradient, elements));
            double[] entropy = [.. x.Select(value => t == 1 ? Softplus(-value) : Softplus(value))];
            KernelTest.Close(entropy, test.Read(elements), new(0, 2e-5), "entropy");
        }
    }

    [Theory, InlineData(0f, .2769648), InlineData(1f, .2903310)]
    public void GiouGivesTheValuesOfTheSpecification(float offset, double giou)
    {
        double disjoint = offset == 0 ? -.3333333 : -.2903226;
        foreach (int lanes in (int[])[1, 4, 8, 16])
        {
            using var test = new KernelTest(lanes);
            TensorView boxes = test.Upload([10f, 10, 50, 40, 0, 0, 10, 10], 2, 4), target = test.Upload([20f, 15, 60, 55, 20, 0, 30, 10], 2, 4);
            TensorView loss = test.Output(1), elements = test.Output(2);
            test.Run(new GiouLoss(boxes, target, loss, Elements: elements, Offset: offset, Epsilon: 0));
            KernelTest.Close([1 - giou, 1 - disjoint], test.Read(elements), new(0, 0, 1e-6), "giou");
            KernelTest.Close([2 - giou - disjoint], test.Read(loss), new(0, 0, 1e-6), "sum");
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void GiouGradientEqualsDifferences(int lanes)
    {
        foreach (int count in (int[])[0, 1, 3, 8, 17, 33])
            foreach (float offset in (float[])[0, 1])
            {
                using var test = new KernelTest(lanes);
                float[] a = RandomBoxes(count, count + 1), b = RandomBoxes(count, count + 2), w = KernelTest.Random(count, count);
                TensorView boxes = test.Upload(a, count, 4), target = test.Upload(b, count, 4), weight = test.Upload(w, count);
                TensorView loss = test.Output(1), gradient = test.Output(count, 4);
                test.Run(new GiouLoss(boxes, target, loss, gradient, Weight: weight, Offset: offset));
                double Reference(double[] at) => Enumerable.Range(0, count).Sum(i => w[i] * (1 - Giou(at, 4 * i, KernelTest.Widen(b), 4 * i, offset)));
                KernelTest.Close([Reference(KernelTest.Widen(a))], test.Read(loss), Tolerance.Sum with { Plain = 1e-6 }, "loss");
                KernelTest.Close(KernelTest.NumericGradient(Reference, KernelTest.Widen(a)), test.Read(gradient), Tolerance.SumGradient, "gradient");
            }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void TtfBoxLossEqualsReference(int lanes)
    {
        const int batch = 2, height = 5, width = 7, cells = batch * height * width;
        using var test = new KernelTest(lanes);
        float[] prediction = KernelTest.Random(1, cells * 4, 10), target = RandomBoxes(cells, 3), weight = KernelTest.Random(2, cells);
        for (int i = 0; i < prediction.Length; i++)
            prediction[i] += 12;
        for (int i = 0; i < cells; i++)
            weight[i] = i % 3 == 0 ? MathF.Abs(weight[i]) : 0;
        TensorView weights = test.Upload(weight, batch, height, width), total = test.Output(1), loss = test.Output(1);
        TensorView gradient = test.Output(batch, height, width, 4);
        test.Run(new WeightTotal(weights, total));
        KernelTest.Close([weight.Sum(value => (double)value)], test.Read(total), Tolerance.Sum, "total");
        test.Run(new TtfBoxLoss(test.Upload(prediction, batch, height, width, 4), test.Upload(target, batch, height, width, 4), weights, loss, gradient, total, Scale: 5));

        double Reference(double[] at)
        {
            double sum = 0;
            for (int i = 0; i < cells; i++)
            {
                double x = i % width * 4, y = i / width % height * 4;
                double[] box = [x - at[4 * i], y - at[4 * i + 1], x + at[4 * i + 2], y + at[4 * i + 3]];
                sum += weight[i] * (1 - Giou(box, 0, KernelTest.Widen(target), 4 * i, 1));
            }
            return 5 * sum / (weight.Sum(value => (double)value) + 1e-4);
        }
        KernelTest.Close([Reference(KernelTest.Widen(prediction))], test.Read(loss), Tolerance.Sum, "loss");
        KernelTest.Close(KernelTest.NumericGradient(Reference, KernelTest.Widen(prediction)), test.Read(gradient), Tolerance.SumGradient, "gradient");
    }

    [Theory, MemberData(nameof(Lanes))]
    public void TtfBoxLossOfAnEmptyMapIsZero(int lanes)
    {
        foreach (int batch in (int[])[0, 2])
        {
            using var test = new KernelTest(lanes);
            TensorView boxes = test.Fill([batch, 3, 3, 4], float.NaN), weight = test.Zeros(batch, 3, 3), total = test.Output(1), loss = test.Output(1);
            var gradient = test.Output(batch, 3, 3, 4);
            test.Run(new WeightTotal(weight, total));
            test.Run(new TtfBoxLoss(boxes, boxes, weight, loss, gradient, total));
            Assert.Equal(0, test.Read(loss)[0]);
            Assert.All(test.Read(gradient), value => Assert.Equal(0, value));
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void ResultsDoNotDependOnThreads(int lanes)
    {
        int length = KernelTest.Smaller(lanes, 150_001, 10_001), boxes = KernelTest.Smaller(lanes, 9000, 900);
        float[] x = KernelTest.Random(5, length, 6), t = Heatmap(length);
        KernelTest.Deterministic(lanes, test =>
        {
            TensorView loss = test.Output(1), gradient = test.Output(length), count = test.Output(1), target = test.Upload(t, length);
            test.Run(new HeatmapPositives(target, count));
            test.Run(new HeatmapFocalLoss(test.Upload(x, length), target, loss, gradient, count));
            return [.. test.Read(loss), .. test.Read(gradient)];
        });
        KernelTest.Deterministic(lanes, test =>
        {
            TensorView loss = test.Output(1), gradient = test.Output(length / 91, 91);
            var target = test.Upload([.. Enumerable.Range(0, length / 91).Select(i => i % 91)], length / 91);
            test.Run(new SoftmaxCrossEntropyLoss(test.Upload(x[..(length / 91 * 91)], length / 91, 91), target, loss, gradient));
            return [.. test.Read(loss), .. test.Read(gradient)];
        });
        KernelTest.Deterministic(lanes, test =>
        {
            TensorView loss = test.Output(1), gradient = test.Output(boxes, 4), total = test.Output(1), weight = test.Upload(x[..boxes], boxes);
            test.Run(new WeightTotal(weight, total));
            test.Run(new GiouLoss(test.Upload(RandomBoxes(boxes, 1), boxes, 4), test.Upload(RandomBoxes(boxes, 2), boxes, 4), loss, gradient, Weight: weight, Normalizer: total));
            return [.. test.Read(loss), .. test.Read(gradient)];
        });
    }

    [Fact]
    public void BadArgumentsAreNamed()
    {
        using var test = new KernelTest(8);
        TensorView x = test.Ones(4, 3), loss = test.Output(1);
        var shape = Assert.Throws<KernelException>(() => test.Run(new HeatmapFocalLoss(x, test.Ones(3, 4), loss)));
        Assert.Equal("HeatmapFocalLoss: target expects f32[4,3] but is f32[3,4]", shape.Message);
        var label = Assert.Throws<KernelException>(() => test.Run(new SoftmaxCrossEntropyLoss(x, test.Upload([0, 1, 3, 2], 4), loss)));
        Assert.Contains("target 2 expects a class below 3 or -100 but is 3", label.Message);
        Assert.Throws<KernelException>(() => test.Run(new SmoothL1Loss(x, test.Ones(4, 3), loss, Beta: -1)));
        Assert.Throws<KernelException>(() => test.Run(new GiouLoss(x, x, loss)));
    }

    private readonly record struct Io(
        TensorView X, TensorView Target, TensorView Loss, TensorView Gradient, TensorView Elements, TensorView Weight, TensorView PositiveWeight, float Scale);

    /// <summary>Runs forward (elements and sum), then again with the upstream gradient as weight for the gradient.</summary>
    private static void Elementwise<TKernel>(int lanes, string op, Func<GoldenFile, Io, TKernel> kernel) where TKernel : struct, IKernel
    {
        foreach (string path in GoldenFolder.Cases(op))
        {
            using var test = new KernelTest(lanes);
            var file = GoldenFile.Load(path);
            TensorView x = test.Upload(file, "x"), target = test.Upload(file, "target");
            bool none = Reduction(file) == "none";
            var io = new Io(x, target, test.Output(1), default, test.Output(x.Shape), file.Has("weight") ? test.Upload(file, "weight") : default,
                file.Has("pos_weight") ? test.Upload(file, "pos_weight") : default, Reduction(file) == "mean" ? 1f / x.Length : 1);
            test.Run(kernel(file, io));
            test.Compare(file, "out", none ? io.Elements : io.Loss, Tolerance.Sum);

            var backward = io with { Gradient = test.Output(x.Shape), Elements = default, Weight = none ? test.Upload(file, "grad_out") : io.Weight };
            test.Run(kernel(file, backward));
            KernelTest.Close(Expected(file, "grad.x"), test.ReadNchw(backward.Gradient), Tolerance.SumGradient, $"{op}/{file.Metadata["case"]} grad.x");
            if (file.Has("grad.target"))
                KernelTest.Close(Expected(file, "grad.target"), Array.ConvertAll(test.Read(backward.Gradient), value => -value), Tolerance.SumGradient, $"{op} grad.target");
        }
    }

    /// <summary>
    /// The golden gradient; at the kink of smooth_l1/beta0_is_l1 (equal x and target) the reference has slope −1 where plain
    /// L1, here and in the reference's own l1_loss, has 0.
    /// </summary>
    private static double[] Expected(GoldenFile file, string name)
    {
        var values = file.F64(name);
        if (file.Metadata["case"] == "beta0_is_l1")
            for (int i = 0; i < values.Length; i++)
                if (file.F32("x")[i] == file.F32("target")[i])
                    values[i] = 0;
        return values;
    }

    private static string Reduction(GoldenFile file) => file.Attribute("reduction")!.Value.GetString()!;

    private static float Number(GoldenFile file, string name) => file.Attribute(name)!.Value.GetSingle();

    private static float[] Heatmap(int length)
    {
        var values = KernelTest.Random(length + 7, length);
        return Array.ConvertAll(values, value => value > 0.97f ? 1 : MathF.Pow(MathF.Abs(value), 8));
    }

    private static double Softplus(double x) => Math.Max(x, 0) + double.LogP1(Math.Exp(-Math.Abs(x)));

    private static double HeatmapReference(double x, double target)
    {
        double p = Math.Clamp(1 / (1 + Math.Exp(-x)), 1e-4, 1 - 1e-4);
        return target == 1 ? -(1 - p) * (1 - p) * Math.Log(p) : -Math.Pow(1 - target, 4) * p * p * double.LogP1(-p);
    }

    private static double HeatmapSlope(double x, double target)
    {
        double p = 1 / (1 + Math.Exp(-x)), q = 1 / (1 + Math.Exp(x));
        return target == 1 ? q * q * (-2 * p * Softplus(-x) - q) : Math.Pow(1 - target, 4) * p * p * (p + 2 * q * Softplus(x));
    }

    private static float[] RandomBoxes(int count, int seed)
    {
        var corners = KernelTest.Random(seed, count * 4, 20);
        for (int i = 0; i < count; i++)
        {
            corners[4 * i + 2] = corners[4 * i] + 2 + MathF.Abs(corners[4 * i + 2]);
            corners[4 * i + 3] = corners[4 * i + 1] + 2 + MathF.Abs(corners[4 * i + 3]);
        }
        return corners;
    }

    private static double Giou(double[] a, int i, double[] b, int j, double offset)
    {
        double Area(double[] box, int k) => (box[k + 2] - box[k] + offset) * (box[k + 3] - box[k + 1] + offset);
        double width = Math.Max(0, Math.Min(a[i + 2], b[j + 2]) - Math.Max(a[i], b[j]) + offset);
        double height = Math.Max(0, Math.Min(a[i + 3], b[j + 3]) - Math.Max(a[i + 1], b[j + 1]) + offset);
        double outer = (Math.Max(a[i + 2], b[j + 2]) - Math.Min(a[i], b[j]) + offset) * (Math.Max(a[i + 3], b[j + 3]) - Math.Min(a[i + 1], b[j + 1]) + offset);
        double union = Area(a, i) + Area(b, j) - width * height;
        return width * height / union - (outer - union) / outer;
    }
}
