using System.Reflection;
using System.Reflection.Emit;

namespace CudaKernels.Kernels;

/// <summary>What a compiled method refers to: reads its intermediate code, with the type arguments it was closed with.</summary>
internal static class MethodCode
{
    private static readonly Dictionary<short, OpCode> Codes = typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!).ToDictionary(code => code.Value);

    /// <summary>The methods that a method calls or takes the address of (<see cref="OpCodes.Ldftn"/>), in the order of its code.</summary>
    public static IEnumerable<(OpCode Code, MethodBase Target)> References(MethodBase method)
    {
        byte[] code = method.GetMethodBody()?.GetILAsByteArray() ?? [];
        var typeArguments = method.DeclaringType!.GetGenericArguments();
        var methodArguments = method.IsGenericMethod ? method.GetGenericArguments() : [];
        Type? constrained = null;
        for (int at = 0; at < code.Length;)
        {
            var op = Codes[code[at] == 0xFE ? (short)(0xFE00 | code[at + 1]) : code[at]];
            at += op.Size;
            if (op == OpCodes.Constrained)
                constrained = method.Module.ResolveType(BitConverter.ToInt32(code, at), typeArguments, methodArguments);
            else if (op.OperandType == OperandType.InlineMethod)
            {
                var target = method.Module.ResolveMethod(BitConverter.ToInt32(code, at), typeArguments, methodArguments)!;
                yield return (op, constrained is null ? target : Implementation(constrained, target));
                constrained = null;
            }
            at += OperandSize(op, code, at);
        }
    }

    /// <summary>What a call of an interface's method on a type argument comes to.</summary>
    private static MethodBase Implementation(Type type, MethodBase target)
    {
        if (target.DeclaringType is not { IsInterface: true } declaring || type.IsInterface || !declaring.IsAssignableFrom(type))
            return target;
        var map = type.GetInterfaceMap(declaring);
        var definition = target.IsGenericMethod ? ((MethodInfo)target).GetGenericMethodDefinition() : target;
        int at = Array.IndexOf(map.InterfaceMethods, definition);
        return at < 0 ? target : target.IsGenericMethod ? map.TargetMethods[at].MakeGenericMethod(target.GetGenericArguments()) : map.TargetMethods[at];
    }

    private static int OperandSize(OpCode op, byte[] code, int at) => op.OperandType switch
    {
        OperandType.InlineNone => 0,
        OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
        OperandType.InlineVar => 2,
        OperandType.InlineI8 or OperandType.InlineR => 8,
        OperandType.InlineSwitch => 4 + 4 * BitConverter.ToInt32(code, at),
        _ => 4,
    };
}
