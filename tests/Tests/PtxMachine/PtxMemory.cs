namespace CudaKernels.Tests;

/// <summary>Loads, stores, atomic operations, asynchronous copies and fences. A vector is one access of its whole width.</summary>
internal static unsafe class PtxMemory
{
    private delegate byte* Place(PtxWarp warp, int lane, ulong address, int width, PtxAccess access);

    public static PtxStep? Find(PtxDecoder decoder)
    {
        var line = decoder.Line;
        return (line.Name[0], line.Operands) switch
        {
            ("ld", [var to, var from]) when line.Name[1] == "param" => LoadParameter(decoder, to, from),
            ("ld", [var to, var from]) => Load(decoder, to, from),
            ("st", [var to, var from]) => Store(decoder, to, from),
            ("atom", [var to, var place, .. var values]) => Atomic(decoder, decoder.Row(to), place, values),
            ("red", [var place, .. var values]) => Atomic(decoder, null, place, values),
            ("membar" or "fence", []) => _ => { }
            ,
            _ => null,
        };
    }

    /// <summary>Reads the bytes of a number of 1, 2, 4 or 8 bytes.</summary>
    private static ulong Read(byte* at, int bytes) => bytes switch
    {
        1 => *at,
        2 => *(ushort*)at,
        4 => *(uint*)at,
        _ => *(ulong*)at,
    };

    private static void Write(byte* at, int bytes, ulong value)
    {
        switch (bytes)
        {
            case 1: *at = (byte)value; break;
            case 2: *(ushort*)at = (ushort)value; break;
            case 4: *(uint*)at = (uint)value; break;
            default: *(ulong*)at = value; break;
        }
    }

    /// <summary>Splits "ld.shared.v4.f32"; what only advises caches or orders accesses that race detection forbids anyway is passed over.</summary>
    private static (Place Place, int Vector, PtxType Type, string[] Others)? Parse(PtxDecoder decoder)
    {
        string[] name = decoder.Line.Name;
        if (!PtxType.TryParse(name[^1], out var type))
            return null;
        decoder.Grain = Math.Min(decoder.Grain, type.Bytes);
        Place place = Generic;
        int vector = 1;
        var rest = new List<string>();
        foreach (string part in name[1..^1])
            switch (part)
            {
                case "global": place = (warp, lane, address, width, access) => warp.Block.Global.At(warp, lane, address, width, access); break;
                case "shared" or "shared::cta": place = (warp, lane, address, width, access) => warp.Block.Shared.At(warp, lane, (uint)address, width, access); break;
                case "v2": vector = 2; break;
                case "v4": vector = 4; break;
                case "nc" or "ca" or "cg" or "cs" or "wb" or "wt" or "volatile" or "relaxed" or "weak" or "cta" or "gpu" or "sys": break;
                default: rest.Add(part); break;
            }
        return (place, vector, type, [.. rest]);
    }

    private static byte* Generic(PtxWarp warp, int lane, ulong address, int width, PtxAccess access) =>
        address >= PtxDecoder.SharedWindow && address < PtxDecoder.SharedWindow + uint.MaxValue
            ? warp.Block.Shared.At(warp, lane, (uint)(address - PtxDecoder.SharedWindow), width, access)
            : warp.Block.Global.At(warp, lane, address, width, access);

    private static PtxStep? LoadParameter(PtxDecoder decoder, string to, string from)
    {
        if (decoder.ParameterOffset(from) is not { } offset || decoder.Line.Name.Length != 3 || !PtxType.TryParse(decoder.Line.Name[2], out var type))
            return null;
        int row = decoder.Row(to);
        return warp =>
        {
            ulong value;
            fixed (byte* parameters = warp.Block.Parameters)
                value = Read(parameters + offset, type.Bytes);
            foreach (int lane in warp.Running)
                warp.Cells[row + lane] = value;
        };
    }

    private static PtxStep? Load(PtxDecoder decoder, string to, string from)
    {
        if (Parse(decoder) is not (var place, var vector, var type, []))
            return null;
        var (row, offset) = decoder.Address(from);
        int[] rows = decoder.Rows(to);
        if (rows.Length != vector)
            return null;
        int bytes = type.Bytes;
        return warp =>
        {
            ulong[] cells = warp.Cells;
            foreach (int lane in warp.Running)
            {
                byte* at = place(warp, lane, cells[row + lane] + (ulong)offset, vector * bytes, PtxAccess.Read);
                for (int v = 0; v < rows.Length; v++)
                {
                    ulong value = Read(at + v * bytes, bytes);
                    cells[rows[v] + lane] = type.Kind == 's' ? (ulong)type.Signed(value) : value;
                }
            }
        };
    }

    private static PtxStep? Store(PtxDecoder decoder, string to, string from)
    {
        if (Parse(decoder) is not (var place, var vector, var type, []))
            return null;
        var (row, offset) = decoder.Address(to);
        int[] rows = decoder.Rows(from);
        if (rows.Length != vector)
            return null;
        int bytes = type.Bytes;
        return warp =>
        {
            ulong[] cells = warp.Cells;
            foreach (int lane in warp.Running)
            {
                byte* at = place(warp, lane, cells[row + lane] + (ulong)offset, vector * bytes, PtxAccess.Write);
                for (int v = 0; v < rows.Length; v++)
                    Write(at + v * bytes, bytes, cells[rows[v] + lane]);
            }
        };
    }

    /// <param name="result">Where the old value goes, if anywhere.</param>
    private static PtxStep? Atomic(PtxDecoder decoder, int? result, string target, string[] values)
    {
        if (Parse(decoder) is not (var place, 1, var type, [var operation]) || Update(operation, type) is not { } update || values.Length != (operation == "cas" ? 2 : 1))
            return null;
        var (row, offset) = decoder.Address(target);
        int first = decoder.Row(values[0]), second = decoder.Row(values[^1]);
        return warp =>
        {
            ulong[] cells = warp.Cells;
            foreach (int lane in warp.Running)
            {
                byte* at = place(warp, lane, cells[row + lane] + (ulong)offset, type.Bytes, PtxAccess.Atomic);
                ulong old = Read(at, type.Bytes);
                Write(at, type.Bytes, update(old, cells[first + lane], cells[second + lane]));
                if (result is { } to)
                    cells[to + lane] = old;
            }
        };
    }

    /// <summary>The new value of the old one and the operands.</summary>
    private static Func<ulong, ulong, ulong, ulong>? Update(string operation, PtxType type) => operation switch
    {
        "exch" => (_, value, _) => value,
        "cas" => (old, expected, value) => type.Unsigned(old) == type.Unsigned(expected) ? value : old,
        "inc" => (old, limit, _) => type.Unsigned(old) >= type.Unsigned(limit) ? 0 : old + 1,
        "dec" => (old, limit, _) => type.Unsigned(old) is 0 || type.Unsigned(old) > type.Unsigned(limit) ? limit : old - 1,
        _ when PtxIntegers.Find(operation, type) is Func<ulong, ulong, ulong> f => (old, value, _) => f(old, value),
        // Single sums flush subnormals.
        _ when PtxFloats.Find(type.Bits == 32 ? $"{operation}.ftz" : operation, type) is { } f => f switch
        {
            Func<float, float, float> single => (old, value, _) => PtxType.Cell(single(PtxType.Single(old), PtxType.Single(value))),
            Func<double, double, double> wide => (old, value, _) => PtxType.Cell(wide(PtxType.Double(old), PtxType.Double(value))),
            _ => null,
        },
        _ => null,
    };
}
