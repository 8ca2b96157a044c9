namespace CudaKernels.Tests;

/// <summary>
/// Floating-point arithmetic. What rounds to nearest is exact; the approximate functions are those of double precision, rounded:
/// better than hardware, whose bits are not published.
/// </summary>
internal static class PtxFloats
{
    /// <param name="operation">The name without its type, "add.rn".</param>
    public static Delegate? Find(string operation, PtxType type)
    {
        string[] parts = operation.Split('.');
        bool flush = parts.Contains("ftz"), saturate = parts.Contains("sat");
        string plain = string.Join('.', parts.Where(p => p is not ("rn" or "ftz" or "sat")));
        return (type.Kind, type.Bits) switch
        {
            ('f', 32) => flush || saturate ? Wrap(Single(plain), flush, saturate) : Single(plain),
            ('f', 64) when !flush && !saturate => Double(plain),
            _ => null,
        };
    }

    private static Delegate? Single(string operation) => operation switch
    {
        "add" => (float a, float b) => a + b,
        "sub" => (float a, float b) => a - b,
        "mul" => (float a, float b) => a * b,
        "fma" or "mad" => (float a, float b, float c) => MathF.FusedMultiplyAdd(a, b, c),
        "div" or "div.approx" or "div.full" => (float a, float b) => a / b,
        "rcp" or "rcp.approx" => (float a) => 1 / a,
        "sqrt" or "sqrt.approx" => (float a) => MathF.Sqrt(a),
        "rsqrt.approx" => (float a) => (float)(1 / Math.Sqrt(a)),
        "ex2.approx" => (float a) => (float)Math.Pow(2, a),
        "lg2.approx" => (float a) => (float)Math.Log2(a),
        "sin.approx" => (float a) => (float)Math.Sin(a),
        "cos.approx" => (float a) => (float)Math.Cos(a),
        "tanh.approx" => (float a) => (float)Math.Tanh(a),
        "neg" => (float a) => -a,
        "abs" => (float a) => MathF.Abs(a),
        // A number wins over a not-a-number, unless ".NaN" asks for the opposite; -0 is less than 0.
        "min" => (float a, float b) => float.MinNumber(a, b),
        "max" => (float a, float b) => float.MaxNumber(a, b),
        "min.NaN" => (float a, float b) => MathF.Min(a, b),
        "max.NaN" => (float a, float b) => MathF.Max(a, b),
        // The sign is that of the first operand.
        "copysign" => (float a, float b) => MathF.CopySign(b, a),
        _ => null,
    };

    private static Delegate? Double(string operation) => operation switch
    {
        "add" => (double a, double b) => a + b,
        "sub" => (double a, double b) => a - b,
        "mul" => (double a, double b) => a * b,
        "fma" or "mad" => (double a, double b, double c) => Math.FusedMultiplyAdd(a, b, c),
        "div" => (double a, double b) => a / b,
        "rcp" => (double a) => 1 / a,
        "sqrt" => (double a) => Math.Sqrt(a),
        "neg" => (double a) => -a,
        "abs" => (double a) => Math.Abs(a),
        "min" => (double a, double b) => double.MinNumber(a, b),
        "max" => (double a, double b) => double.MaxNumber(a, b),
        "copysign" => (double a, double b) => Math.CopySign(b, a),
        _ => null,
    };

    private static Delegate? Wrap(Delegate? function, bool flush, bool saturate)
    {
        return function switch
        {
            Func<float, float> f => (float a) => Out(f(In(a))),
            Func<float, float, float> f => (float a, float b) => Out(f(In(a), In(b))),
            Func<float, float, float, float> f => (float a, float b, float c) => Out(f(In(a), In(b), In(c))),
            _ => null,
        };

        float In(float value) => flush ? Flush(value) : value;

        float Out(float value) => saturate ? Saturate(In(value)) : In(value);
    }

    /// <summary>Subnormals become zeros of their sign.</summary>
    public static float Flush(float value) => float.IsSubnormal(value) ? MathF.CopySign(0, value) : value;

    /// <summary>Into [0, 1]; not-a-number becomes 0.</summary>
    public static float Saturate(float value) => value > 0 ? MathF.Min(value, 1) : 0;
}
