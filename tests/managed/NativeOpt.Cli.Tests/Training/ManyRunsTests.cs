using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Plotting;
using NativeOpt.Cli.Tests.Support;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>More runs than there are colours have a panel each.</summary>
[Collection("settings of the process")] // they train, which sets the number of threads
public sealed class ManyRunsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void All_optimizers_are_compared_by_one_word()
    {
        JsonElement[] results = Compare("all");
        Assert.Equal(OptimizerPresets.OfOneCall.Select(static preset => preset.Name), results.Select(Name));
        Assert.True(results.Length > Svg.ColorCount);

        // In the order of the losses.
        XElement picture = Picture();
        string[] ordered = [.. results.OrderBy(static run => run.GetProperty("validation_loss").GetDouble()).Select(Name)];
        Assert.Equal(ordered, Titles(picture));
        Assert.All(results, run => Assert.Contains(
            FormattableString.Invariant($"{run.GetProperty("validation_loss").GetDouble():0.000}"), Texts(picture)));
        Shell.Run("train", "--compare", "adam,all").AssertRefused(2, "--compare adam,all", "or write all");
    }

    [Fact]
    public void A_run_that_diverges_comes_last_and_leaves_the_others_their_scale()
    {
        TrainingRun[] runs =
        [
            .. OptimizerRecipe.WithoutDimer.Take(Svg.ColorCount + 1).Select(static (recipe, i) => i == 2
                ? Run(recipe, TrainingEnd.Diverged, 4, 2, 1e9, double.NaN)
                : Run(recipe, TrainingEnd.Completed, 4, 3, 3 - (0.1 * i))),
        ];
        string svg = TrainingFiles.Of("a text", 3.3, runs).Single(static file => file.Name == TrainingFiles.Svg).Text;
        Assert.DoesNotContain("NaN", svg, StringComparison.Ordinal);
        XElement picture = XElement.Parse(svg);
        string[] completed = [.. runs.Where(static run => run.End == TrainingEnd.Completed).Select(static run => run.Recipe.Name)];
        Assert.Equal([.. completed.Reverse(), runs[2].Recipe.Name], Titles(picture));
        Assert.Single(Texts(picture), "diverged");
        Assert.Contains(Texts(picture), static text => text.EndsWith("Losses above 6.0 are left out.", StringComparison.Ordinal));

        // The marks of the vertical axis.
        double[] marks =
        [
            .. picture.Descendants().Where(static own => own.Attribute("text-anchor")?.Value == "end" && own.Attribute("x")?.Value == "-8")
                .Select(static own => double.Parse(own.Value, CultureInfo.InvariantCulture)),
        ];
        Assert.Equal(4, marks.Max(), 0.5);

        static TrainingRun Run(OptimizerRecipe recipe, TrainingEnd end, params double[] losses) => new(
            recipe, 1, null, [.. losses.Select(static (loss, step) => new TrainingPoint(step, 1, (float)loss, loss, step))], end,
            TimeSpan.Zero, TimeSpan.Zero, 0, 1, "");
    }

    [Fact]
    public void Curvatures_of_many_dimers_have_panels_below()
    {
        string[] names = ["adam", "sgd", "lion", "adan", "radam", "nadam", "deo-adam", "deo-sgd"];
        Assert.Equal(names, Compare(string.Join(',', names)).Select(Name));
        XElement[] pictures = [.. Picture().Descendants().Where(static own => own.Name.LocalName == "svg")];
        Assert.Equal(2, pictures.Length);
        Assert.Equal(names.Order(), Titles(pictures[0]).Order());
        Assert.Contains(Texts(pictures[0]), static text => text.Contains("over gradient evaluations", StringComparison.Ordinal));
        Assert.Equal(["deo-adam", "deo-sgd"], Titles(pictures[1]).Order());
        Assert.Contains("Curvature along the dimer's direction", Texts(pictures[1]));

        // What panels use again is their own picture's.
        string[] ids = [.. pictures.SelectMany(static own => own.Descendants()).Attributes("id").Select(static id => id.Value)];
        Assert.Equal(["losses", "curvatures"], ids);
        Assert.All(pictures[1].Descendants().Attributes("href"), static use => Assert.Equal("#curvatures", use.Value));
    }

    private static string Name(JsonElement run) => run.GetProperty("optimizer").GetString()!;

    private static string[] Texts(XElement picture) => Values(picture, "text");

    // What the marks of panels' lines say under the pointer.
    private static string[] Titles(XElement picture) =>
        [.. picture.Descendants().Where(static own => own.Name.LocalName == "path" && own.HasElements).Select(static own => own.Value)];

    private static string[] Values(XElement picture, string name) =>
        [.. picture.Descendants().Where(own => own.Name.LocalName == name).Select(static own => own.Value)];

    private JsonElement[] Compare(string names) =>
    [
        .. Shell.Run("train", "--model", "tiny", "--steps", "12", "--compare", names, "--json", "--out", _folder.Path).Json()
            .GetProperty("results").EnumerateArray(),
    ];

    private XElement Picture() => XDocument.Load(_folder.File("losses.svg")).Root!;
}
