namespace CudaKernels.Detection;

/// A colour for drawing; alpha 255 is opaque.
internal readonly record struct Color(byte Red, byte Green, byte Blue, byte Alpha = 255)
{
    public static readonly Color White = new(255, 255, 255);
    public static readonly Color Black = new(0, 0, 0);

    /// Text on a ground of this colour: black or white, whichever stands out more.
    public Color ReadableText() => 0.299 * Red + 0.587 * Green + 0.114 * Blue > 140 ? Black : White;

    /// The colour `share` of the way from this one to another.
    public Color Toward(Color other, double share) => new(
        Between(Red, other.Red, share), Between(Green, other.Green, share), Between(Blue, other.Blue, share), Between(Alpha, other.Alpha, share));

    /// A fixed colour per class: first colours that are easy to tell apart, then hues a golden angle apart, so that neighbours differ.
    public static Color OfClass(int index) => index < Distinct.Length ? Distinct[index] : FromHue(index * 137.50776405, index % 2 == 0 ? 0.95 : 0.7);

    private static readonly Color[] Distinct =
    [
        new(230, 57, 53), new(30, 136, 229), new(67, 160, 71), new(251, 140, 0), new(142, 36, 170), new(0, 172, 193),
        new(216, 27, 96), new(124, 150, 20), new(109, 76, 65), new(57, 73, 171), new(255, 202, 40), new(0, 121, 107),
    ];

    private static Color FromHue(double degrees, double value)
    {
        return new(Channel(5), Channel(3), Channel(1));

        byte Channel(int offset)
        {
            var k = (offset + degrees / 60) % 6;
            return (byte)(255 * value * (1 - 0.75 * Math.Clamp(Math.Min(k, 4 - k), 0, 1)));
        }
    }

    private static byte Between(byte from, byte to, double share) => (byte)Math.Round(from + (to - from) * Math.Clamp(share, 0, 1));
}
