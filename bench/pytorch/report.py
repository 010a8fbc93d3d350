"""What bench.py's numbers come to: ratios, bars, the Markdown page and the files."""

from __future__ import annotations

import json
import os
import pathlib
from dataclasses import dataclass
from typing import Any

OURS = "nativeopt"
# Ours on gradients that were bound once, where steps collect them otherwise.
BOUND = "nativeopt_bound"
COPY = "copy"
PEERS = ("fused", "foreach", "bitsandbytes", "loop", "compile")

ADAM_FAMILY = ("adam", "adamw", "adamw_amsgrad", "invadam", "dualadam")


@dataclass(frozen=True)
class Bar:
    """What was promised. The value is the worst of all rules and shapes that the bar is about."""

    text: str
    at_least: float
    rules: tuple[str, ...]
    shapes: tuple[str, ...] = ()  # empty: all
    min_elements: int = 0
    peer: str = (
        ""  # empty: the fraction of the copy's bandwidth; otherwise how many times faster than the peer
    )
    kind: str = "cold"


BARS = (
    Bar(
        "Adam family, 100 million parameters or more: at least 0.95 of the measured copy bandwidth",
        0.95,
        ADAM_FAMILY,
        min_elements=100_000_000,
    ),
    Bar(
        "DEO cached and update, 100 million parameters or more: at least 0.85 of the measured copy bandwidth",
        0.85,
        ("deo_cached", "deo_update"),
        min_elements=100_000_000,
    ),
    Bar(
        "AdamW on bfloat16, 100 million parameters or more: at least 0.85 of the measured copy bandwidth",
        0.85,
        ("adamw_bfloat16", "adamw_float32_states", "adamw_remainder", "adamw_stochastic"),
        min_elements=100_000_000,
    ),
    Bar(
        "AdamW with states of 8 bits, 100 million parameters or more: at least 0.75 of the measured copy bandwidth",
        0.75,
        ("adamw_dynamic8",),
        min_elements=100_000_000,
    ),
    Bar(
        "GPT-2 124M: at least 1.1 times as fast as torch's fused AdamW, on the device",
        1.1,
        ("adamw",),
        ("gpt2-124m",),
        peer="fused",
    ),
    Bar(
        "10,000 tensors of 64: at least 1.5 times as fast as torch's fused AdamW, back to back",
        1.5,
        ("adamw",),
        ("10000x64",),
        peer="fused",
        kind="back_to_back",
    ),
)


def derive(item: dict[str, Any], copy_bytes: int) -> None:
    """Adds what follows from an item's times: bytes per second, their share of the copy's, and speedups."""
    times = item["times"]
    item["copy_bytes_per_second"] = copy_bytes / times[COPY]["cold"]["median"] if COPY in times else None
    if OURS not in times:
        return
    moved = item["bytes_per_element"] * item["elements"]
    of_a_step = times[OURS].get("cold") or times[OURS]["step"]  # the latter on the CPU
    item["bytes_per_second"] = moved / of_a_step["median"]
    if item["copy_bytes_per_second"] is not None:
        item["of_copy"] = item["bytes_per_second"] / item["copy_bytes_per_second"]
    item["speedup"] = {
        peer: {kind: times[peer][kind]["median"] / times[OURS][kind]["median"] for kind in times[peer]}
        for peer in PEERS
        if peer in times
    }


def judge(bar: Bar, items: list[dict[str, Any]], is_cuda: bool) -> dict[str, Any]:
    """Whether the bar was met, and by what."""
    values = []
    for item in items if is_cuda else []:
        about = item["rule"] in bar.rules and (not bar.shapes or item["shape"] in bar.shapes)
        if not about or item["elements"] < bar.min_elements:
            continue
        value = item.get("speedup", {}).get(bar.peer, {}).get(bar.kind) if bar.peer else item.get("of_copy")
        if value is not None:
            values.append((value, f"{item['rule']} on {item['shape']}"))
    if not values:
        return {"bar": bar.text, "verdict": "not measured"}
    worst, where = min(values)
    verdict = "met" if worst >= bar.at_least else "not met"
    return {"bar": bar.text, "verdict": verdict, "worst": worst, "where": where, "of": len(values)}


def gigabytes(bytes_per_second: float) -> str:
    value = bytes_per_second / 1e9
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def milliseconds(seconds: float) -> str:
    value = seconds * 1e3
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value >= 100 else f"{value:#.3g}"


def cell(item: dict[str, Any], name: str, kind: str) -> str:
    """A peer's time and how many times faster ours is."""
    if name not in item["times"]:
        return "–" if name in item["left_out"] else ""
    text = milliseconds(item["times"][name][kind]["median"])
    if kind == "cold" and name in item["host_bound"]:
        text += "*"
    speedup = item.get("speedup", {}).get(name, {}).get(kind)
    return text if speedup is None else f"{text} ({speedup:.2f}×)"


def label(item: dict[str, Any]) -> str:
    return f"{item['rule']} ({item['note']})" if item["note"] else item["rule"]


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def shape_tables(items: list[dict[str, Any]]) -> list[str]:
    peers = [
        peer for peer in PEERS if any(peer in item["times"] or peer in item["left_out"] for item in items)
    ]
    device_rows = []
    wall_rows = []
    for item in items:
        ours = item["times"].get(OURS)
        if ours is None:
            device_rows.append(
                [label(item), "failed", "", "", "", ""] + [cell(item, p, "cold") for p in peers]
            )
            continue
        cold = ours["cold"]
        device_rows.append(
            [
                label(item),
                milliseconds(cold["median"]),
                f"{milliseconds(cold['q1'])} to {milliseconds(cold['q3'])}",
                milliseconds(ours["warm"]["median"]),
                gigabytes(item["bytes_per_second"]),
                f"{item['of_copy']:.2f}" if "of_copy" in item else "",
            ]
            + [cell(item, peer, "cold") for peer in peers]
        )
        wall_rows.append(
            [label(item), milliseconds(ours["back_to_back"]["median"])]
            + [cell(item, peer, "back_to_back") for peer in peers]
        )
    copies = sorted(
        item["copy_bytes_per_second"] for item in items if item["copy_bytes_per_second"] is not None
    )
    lines = []
    if copies:
        lines = [f"The copy beside them: {gigabytes(copies[0])} to {gigabytes(copies[-1])} GB/s.", ""]
    lines += ["On the device, cold unless it says warm, ms:", ""]
    lines += table(["rule", "ours", "quartiles", "warm", "GB/s", "of copy", *peers], device_rows)
    if any(item["host_bound"] for item in items):
        lines += [
            "",
            "\\* The host took longer to queue it than the device was made to wait: the time is the host's.",
        ]
    lines += ["", "Back to back on the host's clock, ms for each step:", ""]
    lines += table(["rule", "ours", *peers], wall_rows)
    return lines


def left_out(items: list[tuple[dict[str, Any], str]]) -> list[str]:
    """Who did not take part and why, in items and what to call them."""
    reasons: dict[str, list[str]] = {}
    for item, called in items:
        for name, reason in item["left_out"].items():
            reasons.setdefault(f"{name}: {reason}", []).append(called)
    if not reasons:
        return []
    return ["", "Left out:", ""] + [f"- {reason} ({', '.join(of)})" for reason, of in reasons.items()]


def markdown(results: dict[str, Any]) -> str:
    environment = results["environment"]
    lines = ["# NativeOpt beside PyTorch", ""]
    lines += [f"- {name}: {value}" for name, value in environment.items()]
    if results["stopped"]:
        lines += ["", f"**Not complete**: {results['stopped']}."]
    items = results["items"]
    for shape in dict.fromkeys(item["shape"] for item in items):
        of_shape = [item for item in items if item["shape"] == shape]
        first = of_shape[0]
        lines += ["", f"## {shape}: {first['tensors']:,} tensors, {first['elements']:,} elements", ""]
        lines += shape_tables(of_shape)
        lines += left_out([(item, item["rule"]) for item in of_shape])
    if results["host"]:
        lines += ["", "## What a call costs the host", "", "On an idle device, ms:", ""]
        lines += table(
            ["call", "tensors", "ms", "quartiles"],
            [
                [
                    row["call"],
                    f"{row['tensors']:,}",
                    milliseconds(row["time"]["median"]),
                    f"{milliseconds(row['time']['q1'])} to {milliseconds(row['time']['q3'])}",
                ]
                for row in results["host"]
            ],
        )
    lines += ["", "## Bars", ""]
    for bar in results["bars"]:
        found = f" (worst of {bar['of']}: {bar['worst']:.2f}, {bar['where']})" if "worst" in bar else ""
        lines.append(f"- {bar['verdict']}: {bar['bar']}{found}")
    return "\n".join(lines) + "\n"


def write(results: dict[str, Any], page: str, folder: pathlib.Path) -> None:
    """Writes results.json and results.md."""
    write_file(folder / "results.json", json.dumps(results, indent=1) + "\n")
    write_file(folder / "results.md", page)


def write_file(path: pathlib.Path, text: str) -> None:
    """What was there is replaced whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
