"""The page of a run on the CPU: what turns.py measured."""

from __future__ import annotations

from typing import Any

from report import BOUND, OURS, PEERS, left_out, milliseconds, table


def spread(item: dict[str, Any], name: str, kind: str = "step") -> str:
    """Median and quartiles."""
    if name not in item["times"]:
        return "–" if name in item["left_out"] else ""
    found = item["times"][name][kind]
    text = milliseconds(found["median"])
    if found["count"] < 3:  # no quartiles
        return text
    return f"{text} ({milliseconds(found['q1'])} to {milliseconds(found['q3'])})"


def times_faster(item: dict[str, Any], peer: str, kind: str = "step") -> str:
    ratio = item.get("speedup", {}).get(peer, {}).get(kind)
    if ratio is None:
        return ""
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2f}×"


def shape_name(item: dict[str, Any]) -> str:
    count, by, size = item["shape"].partition("x")
    return f"{int(count):,} × {int(size):,}" if by and count.isdigit() else item["shape"]


def row_name(item: dict[str, Any]) -> str:
    return f"{shape_name(item)}, {item['rule']}"


def steps_table(items: list[dict[str, Any]]) -> list[str]:
    peers = [peer for peer in PEERS if any(peer in item["times"] or peer in item["left_out"] for item in items)]
    header = ["tensors, rule", "NativeOpt", "its step alone", "GB/s"]
    for peer in peers:
        header += [peer, "times"]
    rows = []
    for item in items:
        failed = OURS not in item["times"]
        row = [row_name(item), "failed" if failed else spread(item, OURS), spread(item, BOUND)]
        row.append("" if failed else f"{item['bytes_per_second'] / 1e9:.1f}")
        for peer in peers:
            row += [spread(item, peer), times_faster(item, peer)]
        rows.append(row)
    return table(header, rows)


def firsts_table(items: list[dict[str, Any]]) -> list[str]:
    """First steps of turns, ours beside torch's fused ones."""
    rows = [
        [
            row_name(item),
            spread(item, OURS, "first"),
            spread(item, "fused", "first"),
            times_faster(item, "fused", "first"),
        ]
        for item in items
        if OURS in item["times"] and "fused" in item["times"]
    ]
    return table(["tensors, rule", "NativeOpt", "fused", "times"], rows) if rows else []


def waiting_table(runs: dict[str, dict[str, Any]], measured: set[tuple[str, str]]) -> list[str]:
    """These rules and shapes in several runs, by how torch's threads waited in each."""
    header = ["tensors, rule", "torch's threads", "NativeOpt", "fused", "times"]
    header += ["first step: NativeOpt", "fused", "times"]
    rows: dict[str, list[list[str]]] = {}
    for waiting, results in runs.items():
        for item in results["items"]:
            if (item["rule"], item["shape"]) not in measured:
                continue
            name = row_name(item)
            row = [name, waiting]
            for kind in ("step", "first"):
                row += [spread(item, OURS, kind), spread(item, "fused", kind), times_faster(item, "fused", kind)]
            rows.setdefault(name, []).append(row)
    return table(header, [row for of_rule in rows.values() for row in of_rule])


def tables(results: dict[str, Any]) -> list[str]:
    """The tables of a run, those of each type under a heading."""
    lines = stopped(results)
    items = results["items"]
    for dtype in dict.fromkeys(item["dtype"] for item in items):
        of_dtype = [item for item in items if item["dtype"] == dtype]
        lines += ["", f"## {dtype}", "", "Steps, ms:", "", *steps_table(of_dtype)]
        firsts = firsts_table(of_dtype)
        if firsts:
            lines += ["", "First steps, ms:", "", *firsts]
        notes = {item["rule"]: item["note"] for item in of_dtype if item["note"]}
        if notes:
            lines += ["", *(f"- {rule}: {note}" for rule, note in notes.items())]
        lines += left_out([(item, f"{item['rule']} on {item['shape']}") for item in of_dtype])
    return lines


def stopped(results: dict[str, Any]) -> list[str]:
    return ["", f"**Not complete**: {results['stopped']}."] if results["stopped"] else []


def environment_list(results: dict[str, Any]) -> list[str]:
    return [f"- {name}: {value}" for name, value in results["environment"].items()]


def markdown(results: dict[str, Any]) -> str:
    return "\n".join(["# NativeOpt beside PyTorch on the CPU", "", *environment_list(results), *tables(results)]) + "\n"
