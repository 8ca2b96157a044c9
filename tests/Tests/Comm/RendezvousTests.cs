using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using CudaKernels.Comm;
using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Ranks that find each other at an address and a port, over real sockets.</summary>
public sealed class RendezvousTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void EveryRankGetsTheBytesOfTheFirst(int size)
    {
        int port = FreePort();
        byte[] bytes = [.. Enumerable.Range(0, 128).Select(i => (byte)(i * 3))];
        var got = Meet(size, rank =>
        {
            if (rank == 0)
                Thread.Sleep(300); // the others are there first, and try again
            return TcpRendezvous.Exchange(new(rank, size, "localhost", port), rank == 0 ? bytes : [], Patience);
        });
        Assert.All(got, result => Assert.Equal(bytes, result.Bytes));
    }

    [Fact]
    public void RanksThatAreProcessesMeet()
    {
        string port = FreePort().ToString(), program = Path.Combine(AppContext.BaseDirectory, "cudakernels-ranks.dll");
        var processes = Enumerable.Range(0, 3).Select(rank => Process.Start(new ProcessStartInfo("dotnet", [program, "meet", rank.ToString(), "3", port]) { RedirectStandardOutput = true })!).ToArray();
        Assert.All(processes, process =>
        {
            using (process)
                Assert.Equal("0102AB", process.StandardOutput.ReadToEnd().Trim());
        });
    }

    [Fact]
    public void AStrangerAtThePortIsPassedOver()
    {
        int port = FreePort();
        var got = Meet(3, rank =>
        {
            if (rank != 2)
                return TcpRendezvous.Exchange(new(rank, 2, "127.0.0.1", port), [1, 2], Patience);
            for (int i = 0; i < 100; i++)
                try
                {
                    using var stranger = new TcpClient("127.0.0.1", port);
                    stranger.Client.Send("GET / HTTP/1.1\r\n\r\n"u8);
                    break;
                }
                catch (SocketException)
                {
                    Thread.Sleep(20);
                }
            return [];
        });
        Assert.Equal([1, 2], got[0].Bytes);
        Assert.Equal([1, 2], got[1].Bytes);
    }

    [Fact]
    public void ARankThatDoesNotComeIsNamed()
    {
        int port = FreePort();
        var got = Meet(3, rank => rank == 1 ? [] : TcpRendezvous.Exchange(new(rank, 3, "localhost", port), [1], TimeSpan.FromSeconds(rank == 0 ? 1.5 : 20)));
        foreach (int rank in (int[])[0, 2])
            Assert.Equal($"rendezvous with rank 0 at localhost:{port}: of 3 ranks 1 did not come within 1.5 s", got[rank].Error);
    }

    [Fact]
    public void NobodyThereIsNamed()
    {
        int port = FreePort();
        string? error = Meet(1, _ => TcpRendezvous.Exchange(new(1, 2, "localhost", port), [], TimeSpan.FromSeconds(0.5)))[0].Error;
        Assert.StartsWith($"rendezvous with rank 0 at localhost:{port}: rank 1 did not reach it within 0.5 s: ", error);
    }

    [Theory]
    [InlineData(1, 3, "rank 1 of 3 came where rank 0 is of 2")]
    [InlineData(0, 2, "it cannot listen at port ")]
    public void ARankOfAnotherRunIsNamed(int rank, int size, string words)
    {
        int port = FreePort();
        var got = Meet(2, number =>
        {
            if (number == 0)
                return TcpRendezvous.Exchange(new(0, 2, "localhost", port), [1], TimeSpan.FromSeconds(rank == 0 ? 2 : 20));
            if (rank == 0)
                Thread.Sleep(500);
            return TcpRendezvous.Exchange(new(rank, size, "localhost", port), [], Patience);
        });
        Assert.Contains(words, got[1].Error);
        if (rank != 0)
            Assert.Contains(words, got[0].Error);
    }

    [Fact]
    public void ARankThatComesTwiceIsNamed()
    {
        int port = FreePort();
        var got = Meet(3, number => TcpRendezvous.Exchange(new(number == 0 ? 0 : 1, 3, "localhost", port), [1], Patience));
        Assert.All(got, result => Assert.Equal($"rendezvous with rank 0 at localhost:{port}: rank 1 came twice", result.Error));
    }

    [Theory]
    [InlineData(2, 2, 7000, "rendezvous: the rank expects a number from 0 to 1 but is 2")]
    [InlineData(0, 0, 7000, "rendezvous: the number of ranks expects at least 1 but is 0")]
    [InlineData(1, 2, 70000, "rendezvous: the port expects a number from 1 to 65535 but is 70000")]
    public void NonsenseIsRefused(int rank, int size, int port, string words) =>
        Assert.Equal(words, Assert.Throws<KernelException>(() => TcpRendezvous.Exchange(new(rank, size, "localhost", port), [], Patience)).Message);

    private static (byte[] Bytes, string? Error)[] Meet(int count, Func<int, byte[]> work)
    {
        var results = new (byte[] Bytes, string? Error)[count];
        var threads = Enumerable.Range(0, count).Select(n => new Thread(() =>
        {
            try
            {
                results[n] = (work(n), null);
            }
            catch (CollectiveException e)
            {
                results[n] = ([], e.Message);
            }
        })).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        return results;
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
