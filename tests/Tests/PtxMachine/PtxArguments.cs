using System.Reflection;
using System.Runtime.InteropServices;
using ILGPU;

namespace CudaKernels.Tests;

/// <summary>
/// The bytes of a kernel's argument as the compiler lays them out: fields in their order, each aligned to its size, a view as its
/// address and its length, a struct without fields as one byte. The views are the memory the kernel may touch.
/// </summary>
internal sealed class PtxArguments
{
    private const BindingFlags Fields = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    private readonly List<byte> bytes = [];
    private readonly List<PtxView> views = [];

    public PtxArguments(object argument)
    {
        int alignment = Add(argument, "");
        Align(alignment);
    }

    /// <summary>Arguments laid out by hand.</summary>
    public PtxArguments(byte[] bytes, IReadOnlyList<PtxView> views)
    {
        this.bytes.AddRange(bytes);
        this.views.AddRange(views);
    }

    public byte[] Bytes => [.. bytes];

    public IReadOnlyList<PtxView> Views => views;

    /// <returns>The alignment of what was added.</returns>
    private int Add(object value, string name)
    {
        var type = value.GetType();
        if (value is IContiguousArrayView view)
        {
            ulong address = view.IsValid ? (ulong)(view.Buffer.NativePtr + (nint)view.IndexInBytes) : 0;
            views.Add(new(name, address, view.LengthInBytes));
            AddNumber(BitConverter.GetBytes(address));
            return AddNumber(BitConverter.GetBytes(view.Length));
        }
        if (type.IsEnum)
            return Add(Convert.ChangeType(value, type.GetEnumUnderlyingType(), null), name);
        if (type.IsPrimitive)
            return AddNumber(value switch
            {
                byte x => [x],
                short x => BitConverter.GetBytes(x),
                int x => BitConverter.GetBytes(x),
                uint x => BitConverter.GetBytes(x),
                long x => BitConverter.GetBytes(x),
                ulong x => BitConverter.GetBytes(x),
                float x => BitConverter.GetBytes(x),
                double x => BitConverter.GetBytes(x),
                _ => throw new PtxFault($"the machine cannot pass {name}, a {type.Name}, to a kernel"),
            });
        Align(AlignmentOf(type));
        var fields = type.GetFields(Fields);
        foreach (var field in fields)
            Add(field.GetValue(value)!, field.Name.Trim('<').Split('>')[0]);
        if (fields.Length == 0)
            bytes.Add(0);
        Align(AlignmentOf(type));
        return AlignmentOf(type);
    }

    private int AddNumber(byte[] number)
    {
        Align(number.Length);
        bytes.AddRange(number);
        return number.Length;
    }

    private void Align(int alignment)
    {
        while (bytes.Count % alignment != 0)
            bytes.Add(0);
    }

    private static int AlignmentOf(Type type) =>
        typeof(IContiguousArrayView).IsAssignableFrom(type) ? 8
        : type.IsEnum ? AlignmentOf(type.GetEnumUnderlyingType())
        : type.IsPrimitive ? Marshal.SizeOf(type)
        : type.GetFields(Fields).Select(f => AlignmentOf(f.FieldType)).DefaultIfEmpty(1).Max();
}
