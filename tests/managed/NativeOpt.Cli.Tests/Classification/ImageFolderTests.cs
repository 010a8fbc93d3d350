using System.Buffers.Binary;
using NativeOpt.Cli.Classification.Data;
using NativeOpt.Cli.Tests.Support;
using Xunit;

namespace NativeOpt.Cli.Tests.Classification;

/// <summary>Files of images, whole, truncated and hostile.</summary>
public sealed class ImageFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Idx_files_are_read_plain_and_compressed(bool isCompressed)
    {
        IdxImages.Write(_folder, isCompressed, train: 7, test: 3, height: 2, width: 5);
        ImageData data = ImageFolder.Read(_folder.Path);
        Assert.Equal((7, 3), (data.Train.Count, data.Test.Count));
        Assert.Equal((1, 2, 5, 10), (data.Train.Channels, data.Train.Height, data.Train.Width, data.Train.Features));
        Assert.Equal(IdxImages.Classes, data.Classes);
        Assert.Equal(IdxImages.Pixels(7, 10), data.Train.Pixels);
        Assert.Equal(IdxImages.Labels(7), data.Train.Labels);
        Assert.Equal(IdxImages.Pixels(3, 10)[20..30], data.Test.Image(2).ToArray());
    }

    [Fact]
    public void Cifar_files_are_read_in_order_with_the_right_label()
    {
        byte[] one = Record(label: [3], fill: 10), two = Record([9], 20), fine = Record([7, 99], 30);
        for (int i = 1; i <= 5; i++)
        {
            Write($"data_batch_{i}.bin", i == 1 ? [.. one, .. two] : one);
        }

        Write("test_batch.bin", two);
        ImageData ten = ImageFolder.Read(_folder.Path);
        Assert.Equal((10, 6, 1, 3, 32, 32), (ten.Classes, ten.Train.Count, ten.Test.Count, ten.Train.Channels, ten.Train.Height, ten.Train.Width));
        Assert.Equal([3, 9, 3, 3, 3, 3], ten.Train.Labels);
        Assert.Equal(two[1..], ten.Train.Image(1).ToArray());

        using TemporaryFolder other = new();
        File.WriteAllBytes(other.File("train.bin"), [.. fine, .. fine]);
        File.WriteAllBytes(other.File("test.bin"), fine);
        ImageData hundred = ImageFolder.Read(other.Path);
        Assert.Equal((100, 2), (hundred.Classes, hundred.Train.Count));
        Assert.Equal([99, 99], hundred.Train.Labels);
        Assert.Equal(fine[2..], hundred.Train.Image(1).ToArray());

        Write("test_batch.bin", Record([10], 0));
        RefusedWith("label of 10", "below 10");
        Write("test_batch.bin", two[..^1]);
        RefusedWith("test_batch.bin", "truncated");
        Write("test_batch.bin", []);
        RefusedWith("0 bytes");
    }

    [Fact]
    public void What_is_no_such_file_is_refused_and_named()
    {
        Assert.Contains("t10k-labels", Assert.Throws<FileNotFoundException>(() => ImageFolder.Read(_folder.Path)).Message, StringComparison.Ordinal);
        IdxImages.Write(_folder, isCompressed: false, 7, 3, 2, 5);
        byte[] whole = File.ReadAllBytes(Images);

        Refuse(whole[..^1], "truncated", "69 of 70");
        Refuse(whole[..10], "ends within its header");
        Refuse([], "ends within its header");
        Refuse([.. whole, 0], "more than the 70 bytes");
        Refuse([1, .. whole[1..]], "begins with 01000803");
        Refuse(With(whole, 2, 0x0D), "begins with 00000D03"); // floats
        Refuse(With(whole, 3, 1), "3 dimension(s)");
        Refuse(With(whole, 7, 0), "size of 0");
        Refuse(With(whole, 7, 6), "more than the 60 bytes"); // claims an image less
        File.WriteAllBytes(Images, IdxImages.Idx([6, 2, 5], IdxImages.Pixels(6, 10)));
        RefusedWith("6 images", "7 labels");
        File.WriteAllBytes(Images, IdxImages.Idx([7, 5, 2], IdxImages.Pixels(7, 10)));
        RefusedWith("5 x 2", "2 x 5");

        File.Delete(Images);
        File.WriteAllBytes(Images + ".gz", whole);
        RefusedWith("no gzip file");
        byte[] zipped = IdxImages.Zip(whole);
        File.WriteAllBytes(Images + ".gz", zipped[..(zipped.Length / 2)]);
        RefusedWith(Images + ".gz");

        void Refuse(byte[] bytes, params string[] words)
        {
            File.WriteAllBytes(Images, bytes);
            RefusedWith([Images, .. words]);
        }
    }

    [Fact]
    public void A_claimed_size_takes_no_memory()
    {
        IdxImages.Write(_folder, isCompressed: false, 7, 3, 2, 5);
        byte[] header = IdxImages.Idx([1 << 20, 1 << 5, 1 << 5], []);
        File.WriteAllBytes(Images, [.. header, 1, 2, 3]);
        long before = GC.GetAllocatedBytesForCurrentThread();
        RefusedWith("truncated", "3 of 1,073,741,824");
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16 << 20);

        foreach (uint size in new[] { uint.MaxValue, 1u << 31, (1u << 20) + 1 })
        {
            BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(4), size);
            File.WriteAllBytes(Images, header);
            RefusedWith("claims a size of", "1,073,741,824");
        }
    }

    [Fact]
    public void Labels_become_wrong_as_often_as_asked_for_and_the_same_ones_for_a_seed()
    {
        ImageData data = SyntheticImages.Make(seed: 3);
        ImageData noisy = data.WithLabelNoise(0.25, seed: 4);
        double wrong = data.Train.Labels.Zip(noisy.Train.Labels).Average(static pair => pair.First != pair.Second ? 1.0 : 0);
        Assert.InRange(wrong, 0.2, 0.3);
        Assert.All(noisy.Train.Labels, label => Assert.InRange(label, 0, data.Classes - 1));
        Assert.Equal(data.Test.Labels, noisy.Test.Labels);
        Assert.Equal(noisy.Train.Labels, data.WithLabelNoise(0.25, 4).Train.Labels);
        Assert.NotEqual(noisy.Train.Labels, data.WithLabelNoise(0.25, 5).Train.Labels);
        Assert.NotEqual(data.Digest(), noisy.Digest());
        Assert.Equal(data.Digest(), SyntheticImages.Make(3).Digest());
        Assert.NotEqual(data.Digest(), SyntheticImages.Make(4).Digest());
        Assert.DoesNotContain(data.WithLabelNoise(1, 1).Train.Labels.Zip(data.Train.Labels), static pair => pair.First == pair.Second);
    }

    [Fact]
    public void Examples_have_no_mean_and_unit_variance_and_follow_their_order()
    {
        ImageData data = SyntheticImages.Make(1);
        int[] order = data.Order(seed: 2);
        Assert.Equal(Enumerable.Range(0, data.Train.Count), order.Order());
        Assert.NotEqual(order, data.Order(3));
        var examples = new Examples(data.Train, order[..300]);
        float[] inputs = new float[300 * data.Train.Features];
        int[] labels = new int[300];
        examples.Fill([.. Enumerable.Range(0, 300)], inputs, labels);
        Assert.Equal(0, inputs.Average(static value => (double)value), 1e-5);
        Assert.Equal(1, inputs.Average(static value => (double)value * value), 1e-5);
        Assert.Equal(order[..300].Select(index => (int)data.Train.Labels[index]), labels);

        // Other images take the mean and the deviation of these.
        var test = new Examples(data.Test, [5], examples);
        test.Fill([0], inputs, labels);
        int black = Array.IndexOf(data.Train.Image(order[0]).ToArray(), data.Test.Image(5)[0]);
        Assert.Equal(data.Test.Labels[5], labels[0]);
        Assert.True(black >= 0, "no pixel has the same value");
        float first = inputs[0];
        examples.Fill([0], inputs, labels);
        Assert.Equal(first, inputs[black]);
    }

    private string Images => _folder.File("train-images-idx3-ubyte");

    private void Write(string name, byte[] bytes) => File.WriteAllBytes(_folder.File(name), bytes);

    private void RefusedWith(params string[] words)
    {
        string message = Assert.Throws<InvalidDataException>(() => ImageFolder.Read(_folder.Path)).Message;
        Assert.All(words, word => Assert.Contains(word, message, StringComparison.Ordinal));
    }

    private static byte[] With(byte[] bytes, int place, byte value)
    {
        byte[] changed = [.. bytes];
        changed[place] = value;
        return changed;
    }

    private static byte[] Record(byte[] label, byte fill) =>
        [.. label, .. Enumerable.Range(0, 3072).Select(i => (byte)(fill + (i / 1024)))];
}
