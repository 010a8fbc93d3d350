using NativeOpt.Cli.Selftest;
using Xunit;

namespace NativeOpt.Cli.Tests.Selftest;

public sealed class GuardedLayoutTests
{
    private static readonly int[] _counts = [0, 1, 55, 0, 7, 0];

    [Fact]
    public void Tensors_begin_where_they_are_to_and_do_not_meet()
    {
        var layout = new GuardedLayout(_counts, static tensor => tensor % 4);
        int end = 0;
        for (int tensor = 0; tensor < _counts.Length; tensor++)
        {
            Assert.Equal(tensor % 4, layout.WordOf(tensor, 0) % 4);
            Assert.True(layout.WordOf(tensor, 0) >= end + 16);
            end = layout.WordOf(tensor, _counts[tensor]);
        }

        Assert.True(layout.Length >= end + 16);
        Assert.Equal(63, layout.ElementCount);
    }

    [Fact]
    public void Every_word_is_a_canary_or_a_zero_element()
    {
        var layout = new GuardedLayout(_counts, static tensor => tensor % 4);
        uint[] image = layout.NewImage();
        Assert.Equal(63, image.Count(static word => word == 0));
        Assert.Equal(layout.Length - 63, image.Count(static word => word == GuardedLayout.Canary));
        Assert.Empty(layout.FindDamage(image));

        // Whatever is written, it is an element's or seen as damage.
        for (int word = 0; word < layout.Length; word++)
        {
            bool isElement = image[word] == 0;
            uint before = image[word];
            image[word] = 1;
            Assert.Equal(isElement ? [] : [word], layout.FindDamage(image));
            image[word] = before;
        }
    }

    [Fact]
    public void Damage_is_named_by_the_nearest_tensor()
    {
        var layout = new GuardedLayout([10, 20], static _ => 0);
        Assert.Equal((0, -1), layout.Near(layout.WordOf(0, -1)));
        Assert.Equal((0, -100), layout.Near(layout.WordOf(0, -100)));
        Assert.Equal((0, 10), layout.Near(layout.WordOf(0, 10)));
        Assert.Equal((1, -1), layout.Near(layout.WordOf(1, -1)));
        Assert.Equal((1, 20), layout.Near(layout.WordOf(1, 20)));
        Assert.Equal((1, 300), layout.Near(layout.WordOf(1, 300)));
        Assert.Equal((null, 5), new GuardedLayout([], static _ => 0).Near(5));
    }
}
