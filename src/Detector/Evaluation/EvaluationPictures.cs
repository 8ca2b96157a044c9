namespace CudaKernels.Detection;

/// <summary>Precision-recall curves and the confusion matrix of an evaluation, as pictures and as JSON.</summary>
internal static class EvaluationPictures
{
    /// <summary>Writes precision_recall.png, confusion.png and their .json into a folder, which is made if it is missing.</summary>
    public static void Write(string folder, CocoGroundTruth truth, IReadOnlyList<CocoDetection> detections, CocoResult result)
    {
        OutputFolder.Make(folder);
        var curves = PrecisionRecall.Of(result);
        var confusion = ConfusionMatrix.Compute(truth, detections);
        ImageFile.SavePng(PrecisionRecallPicture.Draw(curves), Path.Combine(folder, "precision_recall.png"));
        ImageFile.SavePng(ConfusionPicture.Draw(confusion), Path.Combine(folder, "confusion.png"));
        AtomicFile.WriteText(Path.Combine(folder, "precision_recall.json"), curves.ToJson() + "\n");
        AtomicFile.WriteText(Path.Combine(folder, "confusion.json"), confusion.ToJson() + "\n");
    }
}
