using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// 1 − GIoU of predicted and target boxes (x1,y1,x2,y2), one pair a lane, and its gradient for the predicted corners.
/// o is added to every extent (1 for boxes whose last pixel belongs to them), ε to the denominators:
///   A, B areas, I intersection (extents clamped at 0), U = A + B − I, C the enclosing box
///   GIoU = I/(U+ε) − (C−U)/(C+ε)
///   ∂L/∂I = 1/(C+ε) − (U+ε+I)/(U+ε)²,   ∂L/∂A = I/(U+ε)² − 1/(C+ε),   ∂L/∂C = (U+ε)/(C+ε)²
/// A corner of the intersection moves with the predicted box where that one is the inner one, a corner of C where it is the
/// outer one; equal corners share half and half.
/// </summary>
internal static class GiouMath
{
    /// <summary>In: the corners of both boxes, in planes. Out: loss, and in g1..g4 the gradient of x1, y1, x2, y2 of the first box.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe TVector Loss<TVector>(float* predicted, float* target, int stride, float offset, float epsilon,
        out TVector g1, out TVector g2, out TVector g3, out TVector g4) where TVector : unmanaged, ISimd<TVector> =>
        Loss(
            TVector.Load(predicted), TVector.Load(predicted + stride), TVector.Load(predicted + 2 * stride), TVector.Load(predicted + 3 * stride),
            TVector.Load(target), TVector.Load(target + stride), TVector.Load(target + 2 * stride), TVector.Load(target + 3 * stride),
            offset, epsilon, out g1, out g2, out g3, out g4);

    /// <summary>The same with the corners (x1,y1,x2,y2) and (u1,v1,u2,v2) at hand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Loss<TVector>(
        TVector x1, TVector y1, TVector x2, TVector y2, TVector u1, TVector v1, TVector u2, TVector v2, float offset, float epsilon,
        out TVector g1, out TVector g2, out TVector g3, out TVector g4) where TVector : unmanaged, ISimd<TVector>
    {
        TVector o = TVector.Create(offset), zero = TVector.Zero, one = TVector.Create(1), guard = TVector.Create(epsilon);

        var width = x2 - x1 + o;
        var height = y2 - y1 + o;
        var innerWidth = TVector.Min(x2, u2) - TVector.Max(x1, u1) + o;
        var innerHeight = TVector.Min(y2, v2) - TVector.Max(y1, v1) + o;
        var outerWidth = TVector.Max(x2, u2) - TVector.Min(x1, u1) + o;
        var outerHeight = TVector.Max(y2, v2) - TVector.Min(y1, v1) + o;
        var overlap = TVector.And(TVector.Greater(innerWidth, zero), TVector.Greater(innerHeight, zero));
        innerWidth = TVector.And(overlap, innerWidth);
        innerHeight = TVector.And(overlap, innerHeight);

        var intersection = innerWidth * innerHeight;
        var enclosing = outerWidth * outerHeight;
        var union = width * height + (u2 - u1 + o) * (v2 - v1 + o) - intersection;
        var inverseUnion = one / (union + guard);
        var inverseEnclosing = one / (enclosing + guard);
        var iou = intersection * inverseUnion;

        var byIntersection = inverseEnclosing - (one + iou) * inverseUnion;
        var byArea = iou * inverseUnion - inverseEnclosing;
        var byEnclosing = (union + guard) * inverseEnclosing * inverseEnclosing;

        TVector innerX = byIntersection * innerHeight, innerY = byIntersection * innerWidth;
        TVector ownX = byArea * height, ownY = byArea * width;
        TVector outerX = byEnclosing * outerHeight, outerY = byEnclosing * outerWidth;
        g1 = -(ownX + innerX * Beyond(x1, u1) + outerX * Beyond(u1, x1));
        g2 = -(ownY + innerY * Beyond(y1, v1) + outerY * Beyond(v1, y1));
        g3 = ownX + innerX * Beyond(u2, x2) + outerX * Beyond(x2, u2);
        g4 = ownY + innerY * Beyond(v2, y2) + outerY * Beyond(y2, v2);
        return one - iou + (enclosing - union) * inverseEnclosing;
    }

    /// <summary>1 where a &gt; b, ½ where equal, else 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Beyond<TVector>(TVector a, TVector b) where TVector : unmanaged, ISimd<TVector>
    {
        var half = TVector.Create(0.5f);
        return TVector.And(TVector.Greater(a, b), half) + TVector.And(TVector.GreaterOrEqual(a, b), half);
    }
}
