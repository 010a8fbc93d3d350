#!/usr/bin/env python3
"""Fills the tables of the pages in docs from a folder of results.

    docs/results/fill.py RESULTS            writes the tables
    docs/results/fill.py --check RESULTS    fails if a page has another one

A table stands between `<!-- results: NAME -->` and `<!-- end of results -->`. RESULTS is what docs/results/regenerate.sh has made.
A table whose runs are not there stays as it is.
"""

import argparse
import json
import pathlib
import re
import sys

PLACE = re.compile(r"(<!-- results: (?P<name>[a-z-]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)


class Missing(Exception):
    """A run is not there."""


def summary(results, run):
    file = results / run / "run.json"
    if not file.exists():
        raise Missing(file)
    record = json.loads(file.read_text(encoding="utf-8"))
    if record["end"] != "completed":
        raise Missing(f"{file}: the run was {record['end']}")
    return record["summary"]


def number(value, decimals):
    # What rounds to 0 has no sign.
    return f"{round(value, decimals) + 0.0:,.{decimals}f}".replace("-", "−")


def interval(estimate, decimals):
    return "{} [{}, {}]".format(*(number(estimate[end], decimals) for end in ("value", "low", "high")))


def table(names, rows, texts=1):
    """Rows of cells; the first columns are texts, and all others numbers."""
    rule = " | ".join("---" if i < texts else "---:" for i in range(len(names)))
    return "".join(f"| {' | '.join(row)} |\n" for row in [names, [rule], *rows])


def escape(results, run="escape", decimals=2):
    exponents = {-0.5: "−1/2", -1.0: "−1", -1.5: "−3/2", 0.0: "0"}
    return table(
        ["rule", "exponent of the theory", "measured power p", "slope of log log τ"],
        [
            [
                f"`{law['optimizer']}`", exponents[law["predicted"]], interval(law["power"], decimals),
                interval(law["log_log_slope"], decimals),
            ]
            for law in summary(results, run)["laws"]
        ],
    )


def escape_fixed_noise(results):
    return escape(results, "escape-fixed-noise", decimals=3)


def hessian(results):
    trained = {run["optimizer"]: run for run in summary(results, "solutions")["results"]}
    rows = []
    for one in summary(results, "hessian")["results"]:
        # Of each direction the last distance is the largest.
        ends = [line[-1] for line in one["losses"]]
        rows.append([
            f"`{one['name']}`",
            number(trained[one["name"]]["validation_loss"], 3),
            number(one["loss"], 3),
            number(one["largest"][0]["value"], 1),
            number(one["smallest"][0]["value"], 2),
            f"{number(one['trace'], 0)} ± {number(one['trace_standard_error'], 0)}",
            number(sum(ends) / len(ends) - one["loss"], 3),
        ])
    names = ["solution", "validation loss", "loss here", "largest eigenvalue", "smallest", "trace", "rise of the loss at ζ = 10"]
    return table(names, rows)


def landscape(results):
    return table(
        ["function", "rule", "loss at the end", "largest curvature there", "the run"],
        [
            [run["function"], f"`{run['optimizer']}`", number(run["loss"], 2), number(run["sharpness"], 2),
             f"{run['steps']:,} steps" if run["outcome"] == "completed" else f"left the square after {run['steps']:,} steps"]
            for run in summary(results, "landscape")["results"]
        ],
        texts=2,
    )


def saddle(results, run="saddle", only=None):
    """Medians; with the range of the starts where only some of the dimers are wanted."""
    data = summary(results, run)
    cells = {(one["problem"], one["optimizer"], one["dimer"]): one for one in data["results"]}
    problems = [problem["name"] for problem in data["problems"]]

    def cell(problem, rule, dimer):
        one = cells.get((problem, rule, dimer))
        if one is None:
            return "n/a"
        if one["median"] is not None:
            return number(one["median"], 0) + (ends(one) if only else "")
        return "diverged" if one["outcome"] == "diverged" else f"> {data['budget']:,}"

    def ends(one):
        return f" ({number(one['smallest'], 0)}–{'' if one['largest'] is None else number(one['largest'], 0)})"

    dimers = only or [dimer["name"] for dimer in data["dimers"]]
    rows = []
    for rule in (optimizer["name"] for optimizer in data["optimizers"]):
        for i, dimer in enumerate(dimers):
            rows.append([rule if i == 0 else "", dimer, *(cell(problem, rule, dimer) for problem in problems)])
    return table(["rule", "dimer", *(problem.replace("-", " ") for problem in problems)], rows, texts=2)


def dimer_directions(results):
    file = results / "dimer-directions.md"
    if not file.exists():
        raise Missing(file)
    return file.read_text(encoding="utf-8")


TABLES = {
    "dimer-directions": dimer_directions,
    "escape": escape,
    "escape-fixed-noise": escape_fixed_noise,
    "hessian": hessian,
    "landscape": landscape,
    "saddle": saddle,
    "saddle-published": lambda results: saddle(results, only=["none", "published", "reverse-exact", "escape"]),
    "saddle-sgd": lambda results: saddle(results, "saddle-sgd"),
}


def fill(text, results, page):
    def place(match):
        name = match["name"]
        if name not in TABLES:
            sys.exit(f"{page}: there is no table {name}; known are {', '.join(sorted(TABLES))}")
        try:
            return f"{match[1]}\n{TABLES[name](results)}\n{match[3]}"
        except Missing as missing:
            print(f"{page}: {name} stays as it is, without {missing}")
            return match[0]

    return PLACE.sub(place, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path, help="the folder of the results")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page has another table")
    parser.add_argument(
        "--pages", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent, help="the folder of the pages; default: docs")
    arguments = parser.parse_args()
    others = []
    for page in sorted(arguments.pages.glob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = fill(old, arguments.results, page.name)
        if new != old:
            others.append(page.name)
            if not arguments.check:
                page.write_text(new, encoding="utf-8", newline="\n")
    if arguments.check and others:
        sys.exit(f"other tables than these results have: {', '.join(others)}")
    print(f"{'differ' if arguments.check else 'changed'}: {', '.join(others) or 'none'}")


if __name__ == "__main__":
    main()
