using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Stochastic gradient descent, d = g + decay·w. PyTorch form: v ← m·v + (1 − dampening)·d (v = d at first), w ← w − rate·v
/// (Nesterov: w − rate·(d + m·v)). Caffe form: v ← m·v + rate·d, w ← w − v; the two differ only when the rate changes.
/// State: "velocity", absent without momentum.
/// </summary>
internal sealed class Sgd : Optimizer
{
    private readonly float momentum, weightDecay, dampening;
    private readonly bool nesterov;
    private readonly MomentumForm form;
    private readonly TensorView velocity;

    public Sgd(ParameterSet set, float momentum = 0, float weightDecay = 0, bool nesterov = false, float dampening = 0,
        MomentumForm form = MomentumForm.PyTorch, float clipNorm = 0) : base(set, clipNorm)
    {
        (this.momentum, this.weightDecay, this.nesterov, this.dampening, this.form) = (momentum, weightDecay, nesterov, dampening, form);
        if (momentum != 0)
            velocity = AddState("velocity");
    }

    protected override void Update(ParameterRange range, float rate, long stepsBefore, TensorView guard) =>
        Device.Run(new SgdStep(Part(Set.Values, range), Part(Set.Gradients, range), velocity.IsNone ? default : Part(velocity, range),
            rate, momentum, dampening, weightDecay * range.DecayFactor, nesterov, FirstStep: stepsBefore == 0, form, guard));
}
