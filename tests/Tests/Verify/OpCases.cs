using System.Reflection;
using CudaKernels.Kernels;
using Xunit;
using Xunit.Sdk;
using Xunit.v3;

namespace CudaKernels.Tests;

/// <summary>How a test went: twice, with the same bits; or why not.</summary>
internal readonly record struct OpCaseResult(string Name, string? Failure, string? Skipped, IReadOnlyCollection<string> Goldens);

/// <summary>
/// The tests of kernels as cases for a device: every test that takes the ILGPU path, run twice, all bits it reads compared. Needs no test
/// host, which a single file could not start. A test that names its lanes runs on <see cref="KernelTest.Gpu"/> alone; one that does
/// not is run, and counts if it took a turn on the device.
/// </summary>
internal static class OpCases
{
    private const string SkipMark = "$XunitDynamicSkip$"; // how xunit's exception says that a test skips itself
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    /// <summary>The test classes of an assembly in whose code a <see cref="KernelTest"/> is made, or one for tensor cores.</summary>
    public static IEnumerable<Type> Classes(Assembly assembly) => assembly.GetTypes()
        .Where(type => type is { IsPublic: true, IsAbstract: false, ContainsGenericParameters: false } && type.GetConstructor([]) is not null && WithNested(type).Any(MakesKernelTest))
        .OrderBy(type => type.Name, StringComparer.Ordinal);

    public static IEnumerable<OpCaseResult> Run(Type type)
    {
        foreach (var method in type.GetMethods().Where(m => m.IsDefined(typeof(FactAttribute))).OrderBy(m => m.Name, StringComparer.Ordinal))
            foreach (object?[] row in Rows(method))
                if (Twice(type, method, row) is { } result)
                    yield return result;
    }

    private static IEnumerable<object?[]> Rows(MethodInfo method)
    {
        var sources = method.GetCustomAttributes<DataAttribute>().ToArray();
        if (sources.Length == 0)
            return [[]];
        foreach (var source in sources.OfType<ITypeAwareDataAttribute>())
            source.MemberType ??= method.ReflectedType; // as a test host does
        int lanes = Array.FindIndex(method.GetParameters(), p => p.Name == "lanes");
        return [.. sources.SelectMany(source => source.GetData(method, new DisposalTracker()).AsTask().GetAwaiter().GetResult())
            .Select(row => row.GetData()).Where(row => lanes < 0 || row[lanes] is KernelTest.Gpu)];
    }

    private static OpCaseResult? Twice(Type type, MethodInfo method, object?[] row)
    {
        string name = $"{type.Name}.{method.Name}({string.Join(", ", row)})";
        using var trace = new ResultTrace();
        try
        {
            Invoke(type, method, row);
            if (!trace.OnGpu)
                return null;
            string first = trace.TakeDigest();
            Invoke(type, method, row);
            return new(name, trace.TakeDigest() == first ? null : "other bits when run again", null, trace.Goldens);
        }
        catch (Exception e)
        {
            string message = e.Message.Split('\n')[0].TrimEnd();
            return message.StartsWith(SkipMark, StringComparison.Ordinal)
                ? new(name, null, message[SkipMark.Length..], [])
                : new(name, e is XunitException ? e.Message.ReplaceLineEndings(" ") : $"{e.GetType().Name}: {e.Message.ReplaceLineEndings(" ")}", null, []);
        }
    }

    private static void Invoke(Type type, MethodInfo method, object?[] row)
    {
        object? instance = method.IsStatic ? null : Activator.CreateInstance(type);
        try
        {
            object? outcome = method.Invoke(instance, BindingFlags.DoNotWrapExceptions, null, row, null);
            (outcome as Task)?.GetAwaiter().GetResult();
        }
        finally
        {
            (instance as IDisposable)?.Dispose();
        }
    }

    private static IEnumerable<Type> WithNested(Type type) => type.GetNestedTypes(Declared).SelectMany(WithNested).Prepend(type);

    private static bool MakesKernelTest(Type type) => !type.ContainsGenericParameters && type.GetMethods(Declared)
        .Any(method => !method.ContainsGenericParameters && MethodCode.References(method).Any(r => r.Target is ConstructorInfo { DeclaringType: var made } && (made == typeof(KernelTest) || made == typeof(TensorTest))));
}
