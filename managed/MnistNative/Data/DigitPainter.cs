namespace MnistNative;

// How a digit comes about:
//   style and point between its key shapes → wobble of every point, a smooth bend of the whole → slant, rotation,
//   proportions → smooth curve through the points, as short segments → fitted into a box of 20×20 pixels and centred by
//   its mass → every pixel gets the ink that follows from its distance to the nearest segment → noise.
//
// The bytes must be the same everywhere. So nothing here calls a function whose last bit depends on the platform
// (sine, logarithm, power): rotations use a polynomial, normal numbers are sums of uniform ones, and what remains is
// + − × ÷ and square root, which IEEE 754 rounds in one way only. The runtime never fuses a product and a sum by itself.

/// <summary>Draws synthetic digits; an object holds the scratch memory of one thread.</summary>
internal sealed class DigitPainter
{
    /// <summary>Height and width of an image in pixels.</summary>
    public const int Size = 28;

    private const int Steps = 6; // segments between two points of a stroke

    // Mean slant of each digit: sideways per upward pixel.
    private static ReadOnlySpan<float> Slant => [0.25f, 0.28f, 0.12f, 0.12f, 0.25f, 0.14f, 0.02f, 0.1f, 0.12f, 0.16f];

    private readonly float[] _x = new float[64];
    private readonly float[] _y = new float[64];
    private readonly float[] _pressure = new float[64];
    private readonly Segment[] _segments = new Segment[64 * Steps];
    private readonly float[] _ink = new float[Size * Size];
    private int _segmentCount;

    /// <summary>Draws image <paramref name="index"/> of the seed, showing the given digit.</summary>
    public void Paint(int digit, ulong seed, int index, Span<byte> image)
    {
        var random = new Philox4x32(seed, RandomPurpose.SyntheticImage, (ulong)index);
        DigitStyle style = PickStyle(digit, ref random);
        PlacePoints(style, ref random);
        MoveEnds(style, ref random);
        Deform(digit, style.PointCount, ref random);
        Press(style.PointCount, ref random);
        Flatten(style);
        float width = Math.Max(1.2f, 2.3f + 0.6f * random.NextNormal());
        if (random.NextBelow(8) == 0)
        {
            width *= random.NextSingle(1f, 2f);
        }

        Fit(0.5f * width, ref random);
        Ink(0.5f * width, ref random);
        Develop(image, ref random);
    }

    private static DigitStyle PickStyle(int digit, ref Philox4x32 random)
    {
        DigitStyle[] styles = DigitStyle.All[digit];
        int total = 0;
        foreach (DigitStyle style in styles)
        {
            total += style.Weight;
        }

        int pick = (int)random.NextBelow((uint)total);
        int chosen = 0;
        while (pick >= styles[chosen].Weight)
        {
            pick -= styles[chosen].Weight;
            chosen++;
        }

        return styles[chosen];
    }

    // A random point between the key shapes, and a wobble of each point.
    private void PlacePoints(DigitStyle style, ref Philox4x32 random)
    {
        Span<float> share = stackalloc float[style.ShapeCount];
        float sum = 0;
        for (int s = 0; s < share.Length; s++)
        {
            float u = random.NextSingle();
            share[s] = u * u + 1e-3f;
            sum += share[s];
        }

        // Half of a point's wobble carries over to the next, as a hand does not jump.
        float wobble = 0.01f + 0.04f * random.NextSingle();
        float driftX = 0;
        float driftY = 0;
        for (int p = 0; p < style.PointCount; p++)
        {
            float x = 0;
            float y = 0;
            for (int s = 0; s < share.Length; s++)
            {
                (float sx, float sy) = style.Shape(s)[p];
                x += share[s] / sum * sx;
                y += share[s] / sum * sy;
            }

            driftX = 0.5f * driftX + wobble * random.NextNormal();
            driftY = 0.5f * driftY + wobble * random.NextNormal();
            _x[p] = x - 0.5f + driftX;
            _y[p] = y - 0.5f + driftY;
        }
    }

    // Strokes begin and end early or late, now and then with a small hook.
    private void MoveEnds(DigitStyle style, ref Philox4x32 random)
    {
        int first = 0;
        foreach (int end in style.StrokeEnds)
        {
            MoveEnd(first, first + 1, ref random);
            MoveEnd(end - 1, end - 2, ref random);
            first = end;
        }
    }

    private void MoveEnd(int tip, int neighbour, ref Philox4x32 random)
    {
        float longer = 0.2f * random.NextNormal();
        float aside = random.NextBelow(5) == 0 ? 0.25f * random.NextNormal() : 0f;
        float dx = _x[tip] - _x[neighbour];
        float dy = _y[tip] - _y[neighbour];
        _x[tip] += longer * dx - aside * dy;
        _y[tip] += longer * dy + aside * dx;
    }

    // A smooth bend, then proportions, slant and rotation.
    private void Deform(int digit, int count, ref Philox4x32 random)
    {
        const float Bend = 0.18f;
        float xx = Bend * random.NextNormal();
        float xy = Bend * random.NextNormal();
        float yy = Bend * random.NextNormal();
        float vxx = Bend * random.NextNormal();
        float vxy = Bend * random.NextNormal();
        float vyy = Bend * random.NextNormal();

        // Wide and narrow are equally likely, so that a third of the width is as common as three times the width.
        float stretch = 0.2f * random.NextNormal();
        float aspect = stretch < 0 ? 1f / (1f - stretch) : 1f + stretch;
        if (random.NextBelow(10) == 0)
        {
            float more = random.NextSingle(1f, 1.8f);
            aspect = random.NextBelow(2) == 0 ? aspect * more : aspect / more;
        }

        float slant = Slant[digit] + 0.25f * random.NextNormal();
        float angle = 0.10f * random.NextNormal();
        float square = angle * angle;
        float sin = angle * (1f - square * (1f / 6f - square * (1f / 120f)));
        float cos = 1f - square * (0.5f - square * (1f / 24f - square * (1f / 720f)));
        for (int p = 0; p < count; p++)
        {
            float x = _x[p];
            float y = _y[p];
            float bx = x + xx * x * x + xy * x * y + yy * y * y;
            float by = y + vxx * x * x + vxy * x * y + vyy * y * y;
            bx = aspect * bx - slant * by;
            _x[p] = cos * bx - sin * by;
            _y[p] = sin * bx + cos * by;
        }
    }

    // The pen is pressed harder here and softer there; now and then it leaves a thin place or a blot.
    private void Press(int count, ref Philox4x32 random)
    {
        float unsteady = 0.3f * random.NextSingle();
        float pressure = 1f;
        for (int p = 0; p < count; p++)
        {
            pressure = 1f + 0.5f * (pressure - 1f) + unsteady * random.NextNormal();
            _pressure[p] = Math.Max(pressure, 0.3f);
        }

        if (random.NextBelow(5) == 0)
        {
            _pressure[random.NextBelow((uint)count)] = random.NextSingle(0.1f, 0.6f);
        }

        if (random.NextBelow(8) == 0)
        {
            _pressure[random.NextBelow((uint)count)] = random.NextSingle(1.3f, 2.2f);
        }
    }

    // A Catmull-Rom curve through the points of each stroke, interrupted at corners.
    private void Flatten(DigitStyle style)
    {
        _segmentCount = 0;
        int first = 0;
        foreach (int end in style.StrokeEnds)
        {
            for (int p = first; p + 1 < end; p++)
            {
                bool free0 = p == first || style.IsCorner(p);
                bool free1 = p + 2 == end || style.IsCorner(p + 1);
                float x1 = _x[p];
                float y1 = _y[p];
                float x2 = _x[p + 1];
                float y2 = _y[p + 1];
                float x0 = free0 ? 2 * x1 - x2 : _x[p - 1];
                float y0 = free0 ? 2 * y1 - y2 : _y[p - 1];
                float x3 = free1 ? 2 * x2 - x1 : _x[p + 2];
                float y3 = free1 ? 2 * y2 - y1 : _y[p + 2];
                float fromX = x1;
                float fromY = y1;
                for (int k = 1; k <= Steps; k++)
                {
                    float t = k * (1f / Steps);
                    float toX = CatmullRom(x0, x1, x2, x3, t);
                    float toY = CatmullRom(y0, y1, y2, y3, t);
                    float pressure = _pressure[p] + (t - 0.5f / Steps) * (_pressure[p + 1] - _pressure[p]);
                    _segments[_segmentCount++] = new Segment(fromX, fromY, toX, toY, pressure);
                    fromX = toX;
                    fromY = toY;
                }
            }

            first = end;
        }
    }

    private static float CatmullRom(float p0, float p1, float p2, float p3, float t) =>
        p1 + 0.5f * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)));

    // Scales to the box and moves the centre of mass (of the line, which is close to that of the ink) to the middle.
    private void Fit(float radius, ref Philox4x32 random)
    {
        float left = float.MaxValue;
        float right = float.MinValue;
        float top = float.MaxValue;
        float bottom = float.MinValue;
        float mass = 0;
        float massX = 0;
        float massY = 0;
        for (int i = 0; i < _segmentCount; i++)
        {
            ref Segment s = ref _segments[i];
            left = Math.Min(left, Math.Min(s.X0, s.X1));
            right = Math.Max(right, Math.Max(s.X0, s.X1));
            top = Math.Min(top, Math.Min(s.Y0, s.Y1));
            bottom = Math.Max(bottom, Math.Max(s.Y0, s.Y1));
            float dx = s.X1 - s.X0;
            float dy = s.Y1 - s.Y0;
            float ink = s.Pressure * MathF.Sqrt(dx * dx + dy * dy);
            mass += ink;
            massX += ink * 0.5f * (s.X0 + s.X1);
            massY += ink * 0.5f * (s.Y0 + s.Y1);
        }

        float box = 20f - 2f * radius + 0.4f * random.NextNormal();
        float scale = box / Math.Max(Math.Max(right - left, bottom - top), 1e-3f);
        float centre = 0.5f * Size - 0.5f; // pixel centres have whole coordinates
        float moveX = centre - scale * massX / mass + random.NextSingle(-0.8f, 0.8f);
        float moveY = centre - scale * massY / mass + random.NextSingle(-0.8f, 0.8f);
        for (int i = 0; i < _segmentCount; i++)
        {
            ref Segment s = ref _segments[i];
            s = new Segment(
                scale * s.X0 + moveX, scale * s.Y0 + moveY, scale * s.X1 + moveX, scale * s.Y1 + moveY, s.Pressure);
        }
    }

    // Ink falls off linearly over the soft edge around the pen's radius. The radius follows the pressure and, as with a
    // broad nib, the direction of the stroke.
    private void Ink(float radius, ref Philox4x32 random)
    {
        Array.Clear(_ink);
        float soft = random.NextSingle(0.6f, 1.4f);
        float nib = 0.4f * random.NextSingle();
        float nibX = random.NextSingle(-1f, 1f);
        float nibY = random.NextSingle(-1f, 1f);
        float nibLength = nibX * nibX + nibY * nibY + 1e-6f;
        for (int i = 0; i < _segmentCount; i++)
        {
            Segment s = _segments[i];
            float dx = s.X1 - s.X0;
            float dy = s.Y1 - s.Y0;
            float inverse = 1f / (dx * dx + dy * dy + 1e-12f);
            float across = dx * nibX + dy * nibY;
            float broad = 1f + nib * (0.5f - across * across * inverse / nibLength);
            float r = radius * Math.Clamp(s.Pressure * broad, 0.2f, 2f);
            float reach = r + 0.5f * soft;
            int left = Math.Max(0, (int)(Math.Min(s.X0, s.X1) - reach));
            int right = Math.Min(Size - 1, (int)(Math.Max(s.X0, s.X1) + reach) + 1);
            int top = Math.Max(0, (int)(Math.Min(s.Y0, s.Y1) - reach));
            int bottom = Math.Min(Size - 1, (int)(Math.Max(s.Y0, s.Y1) + reach) + 1);
            for (int y = top; y <= bottom; y++)
            {
                for (int x = left; x <= right; x++)
                {
                    float px = x - s.X0;
                    float py = y - s.Y0;
                    float t = Math.Clamp((px * dx + py * dy) * inverse, 0f, 1f);
                    float ex = px - t * dx;
                    float ey = py - t * dy;
                    float ink = (r - MathF.Sqrt(ex * ex + ey * ey)) / soft + 0.5f;
                    ref float pixel = ref _ink[y * Size + x];
                    pixel = Math.Max(pixel, ink);
                }
            }
        }
    }

    // Full ink is white as in MNIST; the noise is strongest where the ink is half.
    private void Develop(Span<byte> image, ref Philox4x32 random)
    {
        float noise = 0.5f * random.NextSingle();
        for (int i = 0; i < _ink.Length; i++)
        {
            float ink = Math.Clamp(_ink[i], 0f, 1f);
            if (ink > 0)
            {
                ink += noise * 4f * ink * (1f - ink) * (random.NextSingle() - 0.5f);
            }

            image[i] = (byte)(255f * Math.Clamp(ink, 0f, 1f) + 0.5f);
        }
    }

    private readonly record struct Segment(float X0, float Y0, float X1, float Y1, float Pressure);
}
