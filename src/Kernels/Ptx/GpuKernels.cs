using System.Reflection;
using System.Reflection.Emit;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// All kernels of this library, found by reading its own code: from every method that is given a <see cref="GpuDevice"/>, through
/// the methods it calls, to each kernel whose address is taken for a launch. Generic kernels come out with the type arguments
/// their callers give them, so no list has to be kept beside the code and none can be forgotten.
/// </summary>
internal static class GpuKernels
{
    private const BindingFlags Declared =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly Assembly Own = typeof(GpuKernels).Assembly;

    /// <summary>Every kernel, closed, in the order of its name.</summary>
    public static IReadOnlyList<MethodInfo> Find()
    {
        var roots = Own.GetTypes().Where(type => !type.ContainsGenericParameters)
            .SelectMany(type => type.GetMethods(Declared).Where(m => type == typeof(GpuDevice) || m.GetParameters().Any(p => p.ParameterType == typeof(GpuDevice))));
        return [.. Reach(roots).SelectMany(MethodCode.References).Where(r => r.Code == OpCodes.Ldftn).Select(r => r.Target).OfType<MethodInfo>()
            .Where(IsKernel).Distinct().OrderBy(KernelLoader.NameOf, StringComparer.Ordinal)];
    }

    /// <summary>The methods of this library that these call, and what those call, and so on, with themselves.</summary>
    public static IReadOnlyCollection<MethodBase> Reach(IEnumerable<MethodBase> roots)
    {
        var seen = new HashSet<MethodBase>();
        var open = new Queue<MethodBase>(roots);
        while (open.TryDequeue(out var method))
        {
            if (method.Module.Assembly != Own || method.ContainsGenericParameters || !seen.Add(method))
                continue;
            foreach (var (_, target) in MethodCode.References(method))
                open.Enqueue(target);
            // An operation made by another one is run through an interface: its call names no method that could be followed.
            var type = method.DeclaringType!;
            if (type.IsGenericType && typeof(IKernel).IsAssignableFrom(type))
                open.Enqueue(type.GetMethod(nameof(IKernel.Run), Declared, [typeof(GpuDevice)])!);
        }
        return seen;
    }

    /// <summary>Whether a kernel uses instructions that only the PTX backend can write.</summary>
    public static bool NeedsPtx(MethodInfo kernel) => Reach([kernel]).Any(method => method.IsDefined(typeof(PtxInstructionAttribute)));

    private static bool IsKernel(MethodInfo method) =>
        method.IsStatic && method.ReturnType == typeof(void) && !method.ContainsGenericParameters && method.GetParameters() is [{ ParameterType.IsValueType: true }];
}
