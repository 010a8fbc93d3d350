using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Commands;

/// <summary>Shows what comes from files and names them, so that nothing in it controls the terminal.</summary>
internal sealed class PrintableHook : IRenderHook
{
    public IEnumerable<IRenderable> Process(RenderOptions options, IEnumerable<IRenderable> renderables) =>
        renderables.Select(static renderable => new Printed(renderable));

    private sealed class Printed(IRenderable inner) : IRenderable
    {
        public Measurement Measure(RenderOptions options, int maxWidth) => inner.Measure(options, maxWidth);

        public IEnumerable<Segment> Render(RenderOptions options, int maxWidth) =>
            inner.Render(options, maxWidth).Select(static segment =>
                segment.IsControlCode || segment.IsLineBreak ? segment : new Segment(Print(segment.Text), segment.Style));

        // Texts have tabs; they only move the cursor on.
        private static string Print(string text) => string.Join('\t', text.Split('\t').Select(static part => Printable.Of(part)));
    }
}
