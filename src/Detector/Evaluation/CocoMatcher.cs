namespace CudaKernels.Detection;

internal enum DetectionOutcome : byte
{
    FalsePositive,
    TruePositive,

    /// Counts neither way: matched a crowd or an object of another size class, or is itself of another size and matched nothing.
    Ignored,
}

/// Assigns the detections of one image and class to its objects, for every size class and IoU threshold.
/// Greedy by descending score; an object is taken once, a crowd any number of times; among equal overlaps the later object wins;
/// an object that counts is preferred to one that is ignored. Source: COCO `cocoeval.py`, restated in the specification, 9.1.
internal sealed class CocoMatcher(EvalParameters parameters)
{
    private int[] order = [];
    private bool[] ignored = [];
    private bool[] taken = [];

    /// overlaps: [detection, object], detections by descending score.
    /// outcomes: [detection, area, threshold], written. positives: per area, the number of objects that count is added.
    public void Match(
        ReadOnlySpan<double> overlaps, ReadOnlySpan<double> detectionAreas, ReadOnlySpan<double> objectAreas, ReadOnlySpan<bool> crowds,
        Span<DetectionOutcome> outcomes, Span<int> positives)
    {
        var objects = objectAreas.Length;
        if (order.Length < objects)
        {
            order = new int[objects];
            ignored = new bool[objects];
            taken = new bool[objects];
        }
        var thresholds = parameters.IouThresholds.Count;
        var rowLength = parameters.Areas.Count * thresholds;
        for (var area = 0; area < parameters.Areas.Count; area++)
        {
            var range = parameters.Areas[area];
            positives[area] += OrderObjects(range, objectAreas, crowds);
            for (var threshold = 0; threshold < thresholds; threshold++)
            {
                Array.Clear(taken, 0, objects);
                var atLeast = Math.Min(parameters.IouThresholds[threshold], 1 - 1e-10);
                for (var detection = 0; detection < detectionAreas.Length; detection++)
                {
                    var found = FindObject(overlaps.Slice(detection * objects, objects), crowds, atLeast);
                    if (found >= 0) taken[found] = true;
                    outcomes[detection * rowLength + area * thresholds + threshold] = found >= 0
                        ? ignored[found] ? DetectionOutcome.Ignored : DetectionOutcome.TruePositive
                        : range.Contains(detectionAreas[detection]) ? DetectionOutcome.FalsePositive : DetectionOutcome.Ignored;
                }
            }
        }
    }

    /// Objects that count first, each part in file order; returns how many count.
    private int OrderObjects(AreaRange range, ReadOnlySpan<double> areas, ReadOnlySpan<bool> crowds)
    {
        var counting = 0;
        for (var i = 0; i < areas.Length; i++)
        {
            ignored[i] = crowds[i] || !range.Contains(areas[i]);
            if (!ignored[i]) order[counting++] = i;
        }
        var next = counting;
        for (var i = 0; i < areas.Length; i++)
            if (ignored[i]) order[next++] = i;
        return counting;
    }

    private int FindObject(ReadOnlySpan<double> overlaps, ReadOnlySpan<bool> crowds, double best)
    {
        var found = -1;
        for (var position = 0; position < overlaps.Length; position++)
        {
            var candidate = order[position];
            if (taken[candidate] && !crowds[candidate]) continue;
            if (found >= 0 && !ignored[found] && ignored[candidate]) break;
            if (overlaps[candidate] < best) continue;
            best = overlaps[candidate];
            found = candidate;
        }
        return found;
    }
}
