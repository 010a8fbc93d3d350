#!/usr/bin/env python3
"""Writes docs/rule-table.md from what the library says of its rules.

    nativeopt info --rules --json | docs/rule-table.py            writes the page
    nativeopt info --rules --json | docs/rule-table.py --check    fails if the page is another
"""

import json
import pathlib
import sys

PAGE = pathlib.Path(__file__).with_name("rule-table.md")

HEAD = """\
# All rules in one table

Made by `docs/rule-table.py` from what the library says of itself (`nativeopt info --rules`). [rules](rules.md) has the equations in
mathematical notation, and what the options mean. In the equations `g` is the gradient, after its sign and with L2 decay; decoupled
decay is not written. Bytes are those of the states of one parameter in float32, and in brackets what options add.
"""


def number(value):
    return f"{value:g}"


def cell(text):
    return text.replace("|", "\\|").replace("*", "\\*")


def state_bytes(states):
    always = 4 * sum(1 for state in states if not optional(state))
    more = [f"+4 with {condition(state)}" for state in states if optional(state)]
    return str(always) + (f" ({', '.join(more)})" if more else "")


def optional(state):
    return state["needed_flag"] is not None or state["needed_hyperparameter"] is not None


def condition(state):
    flag, hyperparameter = state["needed_flag"], state["needed_hyperparameter"]
    above = f"`{hyperparameter}` > {number(state['needed_above'])}" if hyperparameter else None
    return " and ".join(part for part in (f"`{flag}`" if flag else None, above) if part)


def row(rule):
    hyperparameters = ", ".join(f"`{own['name']}` {number(own['default'])}" for own in rule["hyperparameters"])
    # Those that every rule has are left out.
    flags = ", ".join(
        f"`{own['name']}`" + (" (on)" if own["default"] else "")
        for own in rule["flags"]
        if not own["name"].startswith("stochastic_rounding"))
    states = ", ".join(f"`{own['name']}`" for own in rule["states"])
    inputs = "".join(f"; input `{own['name']}`" for own in rule["inputs"])
    return [
        f"`{rule['name']}`", cell(rule["equations"]), hyperparameters, flags, states + inputs, state_bytes(rule["states"]),
        cell(rule["source"])]


def page(rules):
    heading = ["rule", "equations", "hyperparameters and their defaults", "flags", "states", "bytes", "source"]
    lines = [heading, ["---"] * len(heading), *(row(rule) for rule in rules)]
    return HEAD + "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main():
    text = page(json.load(sys.stdin))
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            sys.exit(f"{PAGE} is not what the library says; write it anew (see the top of docs/rule-table.py)")
        return
    PAGE.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
