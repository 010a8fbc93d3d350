using System.Diagnostics;
using NativeOpt.Cli.Tests.Support;
using StbImageSharp;
using Xunit;

namespace NativeOpt.Cli.Tests.Reports;

/// <summary>A browser shows the page of a run, on a light and on a dark screen.</summary>
public sealed class ReportScreenshotTests : IDisposable
{
    private static readonly string? _browser = new[] { "chromium", "chromium-browser", "google-chrome" }
        .SelectMany(static name => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .Select(folder => Path.Combine(folder, name)))
        .FirstOrDefault(File.Exists);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SkippableFact]
    public void A_browser_shows_it_in_both_themes()
    {
        Skip.If(_browser is null, "There is no Chromium.");
        string run = _folder.File("run");
        string[] command = ["landscape", "--function", "sharp-flat", "--optimizer", "adam,sgd", "--steps", "50", "--out", run];
        Assert.Equal(0, Shell.Run(command).ExitCode);
        Assert.Equal(0, Shell.Run("report", run).ExitCode);
        string page = Path.Combine(run, "report.html");

        // Blink's numbers of the schemes.
        ImageResult dark = Shoot(page, scheme: 0);
        ImageResult light = Shoot(page, scheme: 1);
        Assert.True(Luminance(light, 0) > 0.9, "the light page is not light");
        Assert.True(Luminance(dark, 0) < 0.1, "the dark page is not dark");
        foreach (ImageResult image in new[] { light, dark })
        {
            // Texts and lines have edges between two colours, and the picture has some of its own: a blank page has one.
            Pixel[] pixels = [.. Enumerable.Range(0, image.Width * image.Height).Select(i => PixelAt(image, i))];
            Assert.True(pixels.Distinct().Count() > 100);
            Pixel background = pixels[0];
            Assert.InRange(pixels.Count(pixel => pixel != background), pixels.Length / 50, pixels.Length);

            // The picture is on a white card in both.
            Assert.True(pixels.Count(static pixel => pixel == new Pixel(255, 255, 255)) > pixels.Length / 50);
        }

        // Texts are light where the page is dark: the first line of them is the heading, at the top left.
        Assert.True(Brightest(dark) > 0.8, "the dark page has no light texts");
    }

    private ImageResult Shoot(string page, int scheme)
    {
        string file = _folder.File($"{scheme}.png");
        ProcessStartInfo start = new(_browser!)
        {
            ArgumentList =
            {
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                $"--user-data-dir={_folder.File("profile")}", $"--blink-settings=preferredColorScheme={scheme}",
                $"--screenshot={file}", "--window-size=900,1400", new Uri(page).AbsoluteUri,
            },
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        using Process process = Process.Start(start)!;
        process.OutputDataReceived += static (_, _) => { };
        process.BeginOutputReadLine();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromMinutes(2)))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail("the browser does not end");
        }

        Assert.True(File.Exists(file), $"the browser has made no picture: {error.Result}");
        using FileStream png = File.OpenRead(file);
        return ImageResult.FromStream(png, ColorComponents.RedGreenBlue);
    }

    private static double Brightest(ImageResult image) => Enumerable.Range(0, image.Height / 10)
        .SelectMany(y => Enumerable.Range(0, image.Width / 2).Select(x => Luminance(image, (y * image.Width) + x))).Max();

    private static double Luminance(ImageResult image, int index)
    {
        Pixel pixel = PixelAt(image, index);
        return (pixel.Red + pixel.Green + pixel.Blue) / (3 * 255.0);
    }

    private static Pixel PixelAt(ImageResult image, int index) =>
        new(image.Data[3 * index], image.Data[(3 * index) + 1], image.Data[(3 * index) + 2]);

    private readonly record struct Pixel(byte Red, byte Green, byte Blue);
}
