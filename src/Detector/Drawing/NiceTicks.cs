using System.Globalization;

namespace CudaKernels.Detection;

/// Round positions on an axis: multiples of 1, 2 or 5 times a power of ten, and how to write them.
internal sealed record NiceTicks(double Low, double High, IReadOnlyList<double> Values, Func<double, string> Format)
{
    /// About `wanted` ticks; Low and High are the range, widened to ticks. An empty range is widened around its value, or to the next
    /// whole number where ticks are to be whole (steps, epochs).
    public static NiceTicks Over(double low, double high, int wanted, bool whole = false)
    {
        if (high - low < 1e-12 * Math.Max(Math.Abs(low), Math.Abs(high)) || high == low)
        {
            var margin = low == 0 ? 0.5 : Math.Abs(low) * 0.05;
            (low, high) = whole ? (Math.Floor(low), Math.Floor(low) + 1) : (low - margin, high + margin);
        }
        var rough = (high - low) / Math.Max(1, wanted);
        var power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        var step = (rough / power) switch
        {
            <= 1 => power,
            <= 2 => 2 * power,
            <= 5 => 5 * power,
            _ => 10 * power,
        };
        if (whole) step = Math.Max(1, step);
        var first = Math.Floor(low / step + 1e-9);
        var last = Math.Ceiling(high / step - 1e-9);
        var values = Enumerable.Range(0, (int)(last - first) + 1).Select(i => (first + i) * step).ToArray();
        return new NiceTicks(values[0], values[^1], values, value => Write(value, step, Math.Max(Math.Abs(low), Math.Abs(high))));
    }

    private static string Write(double value, double step, double largest)
    {
        if (Math.Abs(value) < step * 1e-6) return "0";
        if (largest >= 1e5 || largest < 1e-2)
        {
            // Digits after the first one: as many as the step is smaller than the value.
            var digits = Math.Max(0, (int)Math.Floor(Math.Log10(Math.Abs(value)) + 1e-9) - (int)Math.Floor(Math.Log10(step) + 1e-9));
            return value.ToString("0." + new string('#', digits) + "e0", CultureInfo.InvariantCulture);
        }
        var decimals = Math.Clamp((int)Math.Ceiling(-Math.Log10(step) - 1e-9), 0, 10);
        return value.ToString("F" + decimals, CultureInfo.InvariantCulture);
    }
}
