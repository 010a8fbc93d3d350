using NativeOpt.Cli.Selftest;
using Xunit;

namespace NativeOpt.Cli.Tests.Selftest;

public sealed class GuardedLayoutTests
{
    private static readonly int[] _counts = [0, 1, 55, 0, 7, 0];

    // Of each type, and one tensor that has no such buffer.
    private static readonly DType?[] _types =
        [DType.Dynamic8, DType.BFloat16, DType.Dynamic8, DType.Float32, null, DType.UInt16, DType.Dynamic8, DType.Float16];

    private static readonly int[] _typedCounts = [1, 3, 300, 5, 9, 7, 0, 1];

    [Fact]
    public void Tensors_begin_where_they_are_to_and_do_not_meet()
    {
        var layout = new GuardedLayout(_counts, static tensor => tensor % 4);
        int end = 0;
        for (int tensor = 0; tensor < _counts.Length; tensor++)
        {
            Assert.Equal(tensor % 4 * 4, layout.ByteOf(tensor, 0) % 16);
            Assert.True(layout.ByteOf(tensor, 0) >= end + 64);
            end = layout.ByteOf(tensor, _counts[tensor]);
        }

        Assert.True(layout.Length >= end + 64);
        Assert.Equal(63, layout.ElementCount);
    }

    [Fact]
    public void Tensors_of_other_types_have_their_bytes()
    {
        var layout = new GuardedLayout(_typedCounts, static _ => 3, static tensor => _types[tensor]);
        byte[] image = layout.NewImage();
        int[] bytes = [5, 6, 308, 20, 0, 14, 0, 2];
        int[] after = [12, 6, 12, 12, 12, 6, 12, 6]; // three elements, or scales, beyond 16 bytes
        for (int tensor = 0; tensor < bytes.Length; tensor++)
        {
            Assert.Equal(bytes[tensor], layout.Tensor(image.AsSpan(), tensor).Length);
            Assert.Equal(_types[tensor], layout.TypeOf(tensor));
            Assert.Equal(_types[tensor] is null ? 0 : _typedCounts[tensor], layout.CountOf(tensor));
            Assert.True(_types[tensor] is null || layout.ByteOf(tensor, 0) % 16 == after[tensor]);
        }

        Assert.Equal(317, layout.ElementCount);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Every_byte_is_a_canarys_or_a_zero_elements(bool isTyped)
    {
        GuardedLayout layout = isTyped
            ? new(_typedCounts, static tensor => tensor % 4, static tensor => _types[tensor])
            : new(_counts, static tensor => tensor % 4);
        byte[] image = layout.NewImage();
        Assert.Empty(layout.FindDamage(image));

        // Whatever is written, it is an element's or seen as damage.
        int elements = 0;
        for (int place = 0; place < layout.Length; place++)
        {
            byte before = image[place];
            Assert.True(before == 0 || before == GuardedLayout.CanaryAt(place, 1)[0]);
            elements += before == 0 ? 1 : 0;
            image[place] ^= 1;
            List<Damage> damage = layout.FindDamage(image);
            if (before == 0)
            {
                Assert.Empty(damage);
            }
            else
            {
                Damage only = Assert.Single(damage);
                Assert.InRange(place, only.Begin, only.Begin + only.Size - 1);
            }

            image[place] = before;
        }

        Assert.Equal(isTyped ? 355 : 4 * 63, elements);
    }

    [Fact]
    public void Damage_is_named_by_the_nearest_tensor()
    {
        var layout = new GuardedLayout([10, 20], static _ => 0);
        Assert.Equal((0, -1), At(0, -1));
        Assert.Equal((0, -100), At(0, -100));
        Assert.Equal((0, 10), At(0, 10));
        Assert.Equal((1, -1), At(1, -1));
        Assert.Equal((1, 20), At(1, 20));
        Assert.Equal((1, 300), At(1, 300));
        Assert.Equal((null, 5), (new GuardedLayout([], static _ => 0).Near(23).Tensor, new GuardedLayout([], static _ => 0).Near(23).Index));

        // Elements of 2 bytes, and bytes.
        var mixed = new GuardedLayout([3, 300], static _ => 1, static tensor => tensor == 0 ? DType.Float16 : DType.Dynamic8);
        Assert.Equal(new Damage(0, 3, mixed.ByteOf(0, 3), 2), mixed.Near(mixed.ByteOf(0, 3) + 1));
        Assert.Equal(new Damage(0, -1, mixed.ByteOf(0, -1), 2), mixed.Near(mixed.ByteOf(0, 0) - 1));
        Assert.Equal(new Damage(1, 300, mixed.ByteOf(1, 308), 1), mixed.Near(mixed.ByteOf(1, 308)));
        Assert.Equal(new Damage(1, -2, mixed.ByteOf(1, -2), 1), mixed.Near(mixed.ByteOf(1, -2)));

        (int?, int) At(int tensor, int index)
        {
            Damage damage = layout.Near(layout.ByteOf(tensor, index) + 2);
            Assert.Equal((layout.ByteOf(tensor, index), 4), (damage.Begin, damage.Size));
            return (damage.Tensor, damage.Index);
        }
    }
}
