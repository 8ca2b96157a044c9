using System.Reflection;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.IR.Types;
using ILGPU.IR.Values;

namespace CudaKernels.Kernels;

/// <summary>
/// An instruction that the compiler does not know: a method whose PTX is written here, and whose body is what it means in C#, which
/// ILGPU's processor device runs. In the text $d is the result, $i argument i, and .k behind either the k-th field of a structure. An
/// argument by reference is the address of its element.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class PtxInstructionAttribute(string text) : Attribute
{
    public string Text => text;
}

/// <summary>An address that must lie in shared memory.</summary>
[AttributeUsage(AttributeTargets.Parameter)]
internal sealed class SharedAddressAttribute : Attribute;

/// <summary>Makes the compiler write the text of <see cref="PtxInstructionAttribute"/> where such a method is called.</summary>
internal static partial class PtxInstructions
{
    private const BindingFlags Own = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    /// <summary>Tells a context of the instructions that a type declares.</summary>
    public static void Register(Context.Builder builder, Type type)
    {
        var generate = ((Action<PTXBackend, PTXCodeGenerator, Value>)Generate).Method;
        foreach (var method in type.GetMethods(Own).Where(method => method.IsDefined(typeof(PtxInstructionAttribute))))
            builder.GetIntrinsicManager().RegisterMethod(method, new PTXIntrinsic(generate, IntrinsicImplementationMode.GenerateCode));
    }

    private static void Generate(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        var call = (MethodCall)value;
        var method = (MethodInfo)call.Target.Source!;
        var parameters = method.GetParameters();
        var arguments = new PTXCodeGenerator.Register[call.Count];
        for (int i = 0; i < arguments.Length; i++)
        {
            Value argument = call.Nodes[i].Resolve();
            if (parameters[i].IsDefined(typeof(SharedAddressAttribute)) && argument.Type is not AddressSpaceType { AddressSpace: MemoryAddressSpace.Shared })
                throw new NotSupportedException($"{method.Name}: {parameters[i].Name} must lie in shared memory, by an address the compiler can follow");
            arguments[i] = generator.Load(argument);
        }
        var result = call.Target.IsVoid ? null : generator.Allocate(value);
        // Every operand has its name before the line is written: a constant gets a register by an instruction of its own.
        string text = method.GetCustomAttribute<PtxInstructionAttribute>()!.Text;
        string line = Operand().Replace(text, match => NameOf(generator, match.Groups[1].Value == "d" ? result! : arguments[int.Parse(match.Groups[1].ValueSpan)], match.Groups[2]));
        generator.Builder.Append('\t').AppendLine(line);
    }

    private static string NameOf(PTXCodeGenerator generator, PTXCodeGenerator.Register register, System.Text.RegularExpressions.Group field)
    {
        if (register is PTXCodeGenerator.CompoundRegister whole && field.Success)
            register = whole.Children[int.Parse(field.ValueSpan)];
        return register is PTXCodeGenerator.PrimitiveRegister primitive
            ? "%" + PTXRegisterAllocator.GetStringRepresentation(generator.EnsureHardwareRegister(primitive))
            : throw new NotSupportedException($"operand {register} of a PTX instruction is a structure and needs a field");
    }

    [GeneratedRegex(@"\$(d|\d+)(?:\.(\d+))?")]
    private static partial Regex Operand();
}
