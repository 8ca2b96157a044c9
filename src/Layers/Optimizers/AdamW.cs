using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Adam with decoupled decay: w ← (1 − rate·decay)·w − rate·m̂/(√v̂ + ε), m̂ and v̂ the bias-corrected moments. Without
/// <c>decoupled</c> the decay is part of the gradient, as in Adam. State: "first_moment", "second_moment".
/// </summary>
internal sealed class AdamW : Optimizer
{
    private readonly double beta1, beta2;
    private readonly float epsilon, weightDecay;
    private readonly bool decoupled;
    private readonly TensorView first, second;

    public AdamW(ParameterSet set, double beta1 = 0.9, double beta2 = 0.999, float epsilon = 1e-8f, float weightDecay = 0.01f,
        bool decoupled = true, float clipNorm = 0) : base(set, clipNorm)
    {
        (this.beta1, this.beta2, this.epsilon, this.weightDecay, this.decoupled) = (beta1, beta2, epsilon, weightDecay, decoupled);
        first = AddState("first_moment");
        second = AddState("second_moment");
    }

    protected override void Update(ParameterRange range, float rate, long stepsBefore, TensorView guard) =>
        Device.Run(new AdamStep(Part(Set.Values, range), Part(Set.Gradients, range), Part(first, range), Part(second, range),
            rate, stepsBefore + 1, beta1, beta2, epsilon, weightDecay * range.DecayFactor, decoupled, guard));
}
