using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using CudaKernels.Kernels;

namespace CudaKernels.Comm;

/// <summary>Where the ranks of a run meet that a launcher started on one or more machines: what it tells each of them.</summary>
/// <param name="Address">Of rank 0's machine: a name or a number.</param>
/// <param name="Port">Free there.</param>
internal sealed record RendezvousPoint(int Rank, int Size, string Address, int Port)
{
    public override string ToString() => $"{Address}:{Port}";
}

/// <summary>
/// Brings a few bytes, such as the name of a group, from rank 0 to all others: they call on it, it answers when all have. Nobody has to be there first.
/// Whoever does not belong to the same run is refused by name.
/// </summary>
/// <remarks>A call is the 16 bytes: "CKRANKS1", rank, size, numbers as little-endian int. The answer is a length and as many bytes: those wanted, or after length -1 - n a text of n bytes.</remarks>
internal static class TcpRendezvous
{
    private const int CallBytes = 16, MostBytes = 1 << 16;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(0.1);

    private static ReadOnlySpan<byte> Magic => "CKRANKS1"u8;

    /// <param name="mine">Rank 0's bytes; of the others nothing is taken.</param>
    /// <returns>Rank 0's bytes, on every rank.</returns>
    /// <exception cref="CollectiveException">Not all ranks came within the time, or one does not fit to the others.</exception>
    public static byte[] Exchange(RendezvousPoint point, byte[] mine, TimeSpan patience)
    {
        Check.That(point.Size >= 1, "rendezvous", "the number of ranks", "at least 1", point.Size);
        Check.That(point.Rank >= 0 && point.Rank < point.Size, "rendezvous", "the rank", $"a number from 0 to {point.Size - 1}", point.Rank);
        Check.That(point.Port is > 0 and <= ushort.MaxValue, "rendezvous", "the port", $"a number from 1 to {ushort.MaxValue}", point.Port);
        if (point.Size == 1)
            return mine;
        return point.Rank == 0 ? Serve(point, mine, patience) : Call(point, patience);
    }

    private static byte[] Serve(RendezvousPoint point, byte[] mine, TimeSpan patience)
    {
        long start = Stopwatch.GetTimestamp();
        var callers = new Socket?[point.Size];
        using var listener = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp) { DualMode = true };
        try
        {
            try
            {
                listener.Bind(new IPEndPoint(IPAddress.IPv6Any, point.Port));
            }
            catch (SocketException e)
            {
                throw Failure(0, point, $"it cannot listen at port {point.Port}: {e.Message}");
            }
            listener.Listen();
            while (Missing() is { Count: > 0 } missing)
            {
                var left = patience - Stopwatch.GetElapsedTime(start);
                if (left <= TimeSpan.Zero)
                    throw Failure(missing[0], point, FormattableString.Invariant($"of {point.Size} ranks {List(missing)} did not come within {patience.TotalSeconds:0.#} s"));
                if (listener.Poll(left < Pause ? left : Pause, SelectMode.SelectRead))
                    Receive(listener.Accept());
            }
            foreach (var caller in callers)
                Answer(caller, mine.Length, mine);
            return mine;
        }
        catch (CollectiveException e)
        {
            foreach (var caller in callers)
                Answer(caller, -1 - Encoding.UTF8.GetByteCount(e.Message), Encoding.UTF8.GetBytes(e.Message));
            throw;
        }
        finally
        {
            foreach (var caller in callers)
                caller?.Dispose();
        }

        List<int> Missing() => [.. Enumerable.Range(1, point.Size - 1).Where(r => callers[r] is null)];

        void Receive(Socket caller)
        {
            byte[] call = new byte[CallBytes];
            caller.ReceiveTimeout = 1000;
            try
            {
                ReadWhole(caller, call);
            }
            catch (SocketException)
            {
                call.AsSpan().Clear();
            }
            if (!call.AsSpan().StartsWith(Magic))
            {
                caller.Dispose(); // somebody else's program came to this port; the ranks may still come
                return;
            }
            int rank = BinaryPrimitives.ReadInt32LittleEndian(call.AsSpan(8)), size = BinaryPrimitives.ReadInt32LittleEndian(call.AsSpan(12));
            string? wrong = size != point.Size ? $"rank {rank} of {size} came where rank 0 is of {point.Size}"
                : rank < 1 || rank >= size ? $"rank {rank} of {size} came, which there cannot be beside rank 0"
                : callers[rank] is not null ? $"rank {rank} came twice"
                : null;
            if (wrong is null)
            {
                callers[rank] = caller;
                return;
            }
            var failure = Failure(rank, point, wrong);
            using (caller)
                Answer(caller, -1 - Encoding.UTF8.GetByteCount(failure.Message), Encoding.UTF8.GetBytes(failure.Message));
            throw failure;
        }
    }

    private static byte[] Call(RendezvousPoint point, TimeSpan patience)
    {
        long start = Stopwatch.GetTimestamp();
        string reason = "nobody was there";
        while (Stopwatch.GetElapsedTime(start) < patience)
        {
            try
            {
                using var socket = new TcpClient();
                if (!socket.ConnectAsync(point.Address, point.Port).Wait(Left()))
                    break;
                byte[] call = new byte[CallBytes];
                Magic.CopyTo(call);
                BinaryPrimitives.WriteInt32LittleEndian(call.AsSpan(8), point.Rank);
                BinaryPrimitives.WriteInt32LittleEndian(call.AsSpan(12), point.Size);
                socket.Client.Send(call);
                socket.ReceiveTimeout = Math.Max(1, (int)Left().TotalMilliseconds);
                byte[] length = new byte[sizeof(int)];
                ReadWhole(socket.Client, length);
                int bytes = BinaryPrimitives.ReadInt32LittleEndian(length);
                if (bytes is > MostBytes or < -MostBytes)
                    throw Failure(0, point, "what answers there is no rank");
                byte[] answer = new byte[bytes >= 0 ? bytes : -1 - bytes];
                ReadWhole(socket.Client, answer);
                return bytes >= 0 ? answer : throw new CollectiveException(0, Encoding.UTF8.GetString(answer));
            }
            catch (Exception e) when (e is SocketException or AggregateException { InnerException: SocketException })
            {
                reason = (e.InnerException ?? e).Message;
                Thread.Sleep(Pause);
            }
        }
        throw Failure(0, point, FormattableString.Invariant($"rank {point.Rank} did not reach it within {patience.TotalSeconds:0.#} s: {reason}"));

        TimeSpan Left() => patience - Stopwatch.GetElapsedTime(start) is var left && left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    private static CollectiveException Failure(int rank, RendezvousPoint point, string what) => new(rank, $"rendezvous with rank 0 at {point}: {what}");

    private static string List(List<int> ranks) => ranks.Count > 8 ? $"{string.Join(", ", ranks.Take(8))} and {ranks.Count - 8} more" : string.Join(", ", ranks);

    private static void Answer(Socket? caller, int length, byte[] bytes)
    {
        try
        {
            byte[] answer = new byte[sizeof(int) + bytes.Length];
            BinaryPrimitives.WriteInt32LittleEndian(answer, length);
            bytes.CopyTo(answer, sizeof(int));
            caller?.Send(answer);
        }
        catch (SocketException)
        {
            // It has gone meanwhile; its launcher knows.
        }
    }

    private static void ReadWhole(Socket socket, byte[] bytes)
    {
        for (int at = 0; at < bytes.Length;)
        {
            int came = socket.Receive(bytes, at, bytes.Length - at, SocketFlags.None);
            if (came == 0)
                throw new SocketException((int)SocketError.ConnectionReset);
            at += came;
        }
    }
}
