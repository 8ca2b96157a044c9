using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>Keeps a run on disk and takes it back. The first rank has the files; all get what they hold.</summary>
internal sealed class Checkpoints(RunFolder folder, ModelInfo info, ParameterSet parameters, TrainState state, RankGroup ranks, int imageSize)
{
    /// <summary>Step of the last checkpoint that was written or taken back; null when there was none.</summary>
    public long? SavedStep { get; private set; }

    public void Save()
    {
        ranks.OnFirst(() => state.WithFinalWeights(() => ModelFile.Save(folder.Last, info, parameters, imageSize, state.Tensors(), state.Metadata(ranks.Size))), "checkpoints");
        SavedStep = state.Step;
    }

    /// <summary>Keeps the present weights, which are the ones to use, as the best.</summary>
    public void SaveBest() => ranks.OnFirst(() => ModelFile.Save(folder.Best, info, parameters, imageSize), "checkpoints");

    public void Restore()
    {
        ranks.Together(() => ranks.OnFirst(() =>
        {
            var file = SafeTensorsFile.Read(folder.Last);
            new ModelFile(folder.Last, file).RequireSame(info);
            state.Restore(folder.Last, file);
        }, "checkpoints"));
        state.TakeFromFirst(ranks);
        SavedStep = state.Step;
    }
}
