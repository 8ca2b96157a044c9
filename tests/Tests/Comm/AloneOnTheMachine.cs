using Xunit;

namespace CudaKernels.Tests;

/// <summary>Tests whose ranks have to end within a time: they run one after the other, when nothing else does.</summary>
[CollectionDefinition(nameof(AloneOnTheMachine), DisableParallelization = true)]
public sealed class AloneOnTheMachine;
