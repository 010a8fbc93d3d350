using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Commands;

/// <summary>Options that several commands have, and how their values are read.</summary>
internal static class CommonOptions
{
    /// <summary>The name of <see cref="Resume"/>.</summary>
    public const string ResumeName = "--resume";

    private const string MinDynamic8ElementsName = "--min-dynamic8-elements";

    public static Option<bool> Json(string what) => new("--json") { Description = $"Print {what} as JSON, and nothing else." };

    /// <summary>Whether a command takes the finished runs in its folder as done.</summary>
    public static Option<bool> Resume() => new(ResumeName)
    {
        Description = "Go on where an earlier command with the same options and the same --out has ended: what it finished is "
            + "not done again. If there is none, begin.",
    };

    /// <summary>Says that <see cref="Resume"/> needs a folder.</summary>
    /// <param name="option">The option that names it.</param>
    /// <param name="folder">Its path; null if the option is left out.</param>
    /// <param name="resume">Whether to go on from what is in it.</param>
    public static void RequireFolder(string option, string? folder, bool resume)
    {
        if (resume && folder is null)
        {
            throw new UsageException(
                $"{ResumeName}: what an earlier command has finished is in the folder of its {option}; name it, or leave {ResumeName} out.");
        }
    }

    public static Option<Device> Device() => new("--device")
    {
        Description = "Where the optimizer runs: cpu, cuda (the first GPU) or cuda:N.",
        HelpName = "cpu|cuda[:N]",
        DefaultValueFactory = static _ => NativeOpt.Device.Cpu,
        CustomParser = static result =>
        {
            if (!NativeOpt.Device.TryParse(result.Tokens[0].Value, out Device device))
            {
                Refuse(result, "write cpu, cuda or cuda:N");
            }

            return device;
        },
    };

    /// <summary>A whole number from <paramref name="minimum"/> to <paramref name="maximum"/>.</summary>
    public static Option<int?> Integer(string name, string description, int minimum, int maximum = int.MaxValue) =>
        new(name)
        {
            Description = description,
            HelpName = "N",
            CustomParser = result =>
            {
                if (!int.TryParse(
                        result.Tokens[0].Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
                    || value < minimum || value > maximum)
                {
                    Refuse(result, $"write a whole number from {minimum} to {maximum}");
                }

                return value;
            },
        };

    /// <summary>A finite number above 0, or from 0 where that is allowed, that a float32 can hold.</summary>
    public static Option<double?> Positive(string name, string description, bool orZero = false) => new(name)
    {
        Description = description,
        HelpName = "X",
        CustomParser = result =>
        {
            if (!double.TryParse(
                    result.Tokens[0].Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                || !(orZero ? value >= 0 : value > 0) || value > float.MaxValue)
            {
                string least = orZero ? "of at least 0" : "above 0";
                Refuse(result, FormattableString.Invariant($"write a finite number {least}, up to {float.MaxValue}"));
            }

            return value;
        },
    };

    /// <summary>A hyperparameter, in the widest range that a rule of the library has for it; above 0 unless 0 is allowed here.</summary>
    public static Option<double?> Hyperparameter(string name, string hyperparameter, string description, bool orZero = false) =>
        new(name)
        {
            Description = description,
            HelpName = "X",
            CustomParser = result =>
            {
                bool isNumber = double.TryParse(
                    result.Tokens[0].Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double value);
                Hyperparameter widest = NativeOpt.Rule.All.SelectMany(static rule => rule.Hyperparameters)
                    .Where(own => own.Name == hyperparameter).MaxBy(static own => own.Maximum)!;
                if (!isNumber || !widest.Allows(value) || (value == 0 && !orZero))
                {
                    Refuse(result, $"write a finite number {(orZero ? "" : "above 0, ")}{widest.Range}");
                }

                return value;
            },
        };

    /// <summary>Throws if a learning rate that was given is not one of a rule that it is for.</summary>
    /// <exception cref="UsageException">It is not.</exception>
    public static void RequireLearningRate(string option, string optimizer, Rule rule, double? rate)
    {
        Hyperparameter own = rule.GetHyperparameter(OptimizerPresets.LearningRate);
        if (rate is { } given && !own.Allows(given))
        {
            throw new UsageException(FormattableString.Invariant($"{option} {given}: with {optimizer} it must be {own.Range}."));
        }
    }

    /// <summary>Throws if a switching rate was given and no optimizer has one.</summary>
    /// <exception cref="UsageException">None has.</exception>
    public static void RequireSwitchingRate(string option, IEnumerable<OptimizerRecipe> recipes, double? rate)
    {
        if (rate is not null && !recipes.Any(static recipe => recipe.UsesSwitchingRate))
        {
            IEnumerable<string> others =
                OptimizerRecipe.All.Where(static recipe => recipe.UsesSwitchingRate).Select(static recipe => recipe.Name);
            throw new UsageException(
                $"{option}: only {string.Join(" and ", others)} have one; use one of them, or leave the option out.");
        }
    }

    /// <summary>The element type of something, one of those that a command offers.</summary>
    public static Option<DType?> DType(string name, string description, Func<IReadOnlyList<DType>> types) =>
        Choice<DType?>(name, description, () => [.. types().Select(static type => (Name(type), (DType?)type))]);

    /// <summary>The element type of parameters and gradients, one of those that the library knows.</summary>
    public static Option<DType?> ParameterType(string prefix = "") => DType(
        "--dtype",
        $"{prefix}{(prefix == "" ? 'T' : 't')}he element type of parameters and gradients. Default: float32.",
        static () => LibraryRoles.ParameterTypes);

    /// <summary>The element type of an optimizer's states.</summary>
    public static Option<DType?> StateType(string prefix = "") => DType(
        "--state-dtype",
        $"{prefix}{(prefix == "" ? 'T' : 't')}he element type of the states (moments, momentum). dynamic8: 8 bits in blocks that "
        + "share a scale. Default: float32.",
        static () => LibraryRoles.StateTypes);

    /// <summary>Which tensors are too small for states of 8 bits.</summary>
    public static Option<int?> MinDynamic8ElementCount(string prefix = "") => Integer(
        MinDynamic8ElementsName,
        $"{prefix}{(prefix == "" ? 'W' : 'w')}ith --state-dtype dynamic8, tensors of fewer elements keep float32 states; 0: none "
        + $"do. Default: {new AdamOptions().MinDynamic8ElementCount}.",
        0);

    /// <summary>Reads the two, the second of which needs the first.</summary>
    /// <exception cref="UsageException">The second is there without it.</exception>
    public static (DType Type, long? MinDynamic8ElementCount) States(
        ParseResult parsed, Option<DType?> stateType, Option<int?> minDynamic8ElementCount)
    {
        DType type = parsed.GetValue(stateType) ?? NativeOpt.DType.Float32;
        int? minimum = parsed.GetValue(minDynamic8ElementCount);
        return minimum is null || type == NativeOpt.DType.Dynamic8
            ? (type, minimum)
            : throw new UsageException(
                $"{MinDynamic8ElementsName}: only states of dynamic8 have such a bound; use --state-dtype dynamic8, or leave the "
                + "option out.");
    }

    /// <summary>What an optimizer keeps of parameters of 16 bits.</summary>
    public static Option<MasterWeights?> Master(string description) => Choice<MasterWeights?>(
        "--master",
        description,
        static () =>
        [
            (Name(MasterWeights.Remainder), MasterWeights.Remainder),
            (Name(MasterWeights.Float32), MasterWeights.Float32),
            (Name(MasterWeights.None), MasterWeights.None),
        ]);

    /// <summary>The settings of a dimer: the paper's, or those that measurements found to work.</summary>
    public static Option<DimerOptions?> Dimer(string description) => Choice<DimerOptions?>(
        "--dimer", description, static () => [("published", new DimerOptions()), ("recommended", DimerOptions.Recommended)]);

    /// <summary>How the command line writes it.</summary>
    public static string Name<T>(T value)
        where T : struct, Enum => value.ToString().ToLowerInvariant();

    /// <summary>One of a few values that have names; null if it is left out.</summary>
    public static Option<T> Choice<T>(string name, string description, Func<IReadOnlyList<(string Name, T Value)>> all) => new(name)
    {
        Description = description,
        HelpName = string.Join('|', Library.Ask(all).Select(static choice => choice.Name).DefaultIfEmpty("NAME")),
        CustomParser = result =>
        {
            IReadOnlyList<(string Name, T Value)> choices = all();
            foreach ((string known, T value) in choices)
            {
                if (known == result.Tokens[0].Value)
                {
                    return value;
                }
            }

            string allButLast = string.Join(", ", choices.SkipLast(1).Select(static choice => choice.Name));
            Refuse(result, $"write {allButLast} or {choices[^1].Name}");
            return default;
        },
    };

    /// <summary>Some of the things that have names, separated by commas; see <see cref="Chosen"/>.</summary>
    public static Option<T[]?> Names<T>(
        string name, string description, Func<IReadOnlyList<T>> all, Func<T, string> nameOf)
        where T : class => new(name)
        {
            Description = description,
            HelpName = "NAME,…",
            CustomParser = result => ReadNames(result, all(), nameOf),
        };

    /// <summary>Reads names that are separated by commas; null if they are refused.</summary>
    public static T[]? ReadNames<T>(ArgumentResult result, IReadOnlyList<T> all, Func<T, string> nameOf)
        where T : class
    {
        if (result.Tokens.Count == 0)
        {
            return [];
        }

        string[] names = result.Tokens[0].Value.Split(',');
        T?[] chosen = [.. names.Select(one => all.FirstOrDefault(known => nameOf(known) == one))];
        int unknown = Array.IndexOf(chosen, null);
        if (unknown >= 0 || chosen.Distinct().Count() < chosen.Length)
        {
            string why = unknown < 0 ? ""
                : $"there is no {names[unknown]}{Suggestion.For(names[unknown], all.Select(nameOf))}. ";
            string known = string.Join(", ", all.Select(nameOf));
            Refuse(result, $"{why}Choose of {known}; name each once, separated by commas");
            return null;
        }

        return chosen!;
    }

    /// <summary>What such an option names, or all.</summary>
    public static IReadOnlyList<T> Chosen<T>(ParseResult parsed, Option<T[]?> option, IReadOnlyList<T> all)
        where T : class =>
        parsed.GetValue(option) is { Length: > 0 } chosen ? chosen : all; // left out, it has an empty array as its value

    /// <summary>Reports what is wrong with the value of an option, and what to write instead.</summary>
    public static void Refuse(ArgumentResult result, string remedy)
    {
        string name = ((OptionResult)result.Parent!).Option.Name;
        result.AddError($"{name} {string.Join(' ', result.Tokens.Select(static token => token.Value))}: {remedy}.");
    }

    /// <summary>Says why a device cannot be used before anything is begun.</summary>
    public static void Require(Device device)
    {
        if (device.Backend == Backend.Cpu)
        {
            return;
        }

        if (!NativeOpt.Device.TryGetCudaDevices(out IReadOnlyList<Device> devices, out string? reason))
        {
            throw new UsageException($"--device {device}: {reason}. Use --device cpu.");
        }

        if (device.Index >= devices.Count)
        {
            throw new UsageException(
                $"--device {device}: there is no such GPU. Use one of {string.Join(", ", devices)}, or cpu.");
        }
    }
}
