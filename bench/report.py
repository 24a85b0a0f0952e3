"""The table of a suite, in Markdown."""

from statistics import median

from bench.pins import PEERS
from bench.saved import Results
from bench.worker import Round
from bench.workloads import WORKLOADS, Target

HEAD = ["", "workload", "peer", "times the floor", "on disk", "memory", "target of Loom"]


def table(results: Results) -> str:
    """Return a row for each workload and peer, the fastest first."""
    rows = [HEAD]
    for workload in (one for one in WORKLOADS if one in results):
        peers = results[workload]
        what = [workload, WORKLOADS[workload].what]
        for peer in sorted(peers, key=lambda one: middle(peers[one])):
            rows.append([*what, *cells(workload, peer, peers[peer])])
            what = ["", ""]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    shown = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([shown[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *shown[1:]])


def cells(workload: str, peer: str, rounds: list[Round]) -> list[str]:
    ratios = [ratio(one) for one in rounds]
    times = f"{short(median(ratios))} ({short(min(ratios))}-{short(max(ratios))})"
    target = verdict(WORKLOADS[workload].target, rounds) if peer == "loom" and at_size(workload, rounds) else ""
    return [peer, times, on_disk(rounds[-1]), growth(rounds), target]


def ratio(measured: Round) -> float:
    return measured["peer_s"] / measured["floor_s"]


def middle(rounds: list[Round]) -> float:
    return median(ratio(one) for one in rounds)


def disk_ratio(measured: Round) -> float | None:
    peer, floor = measured["peer_bytes"], measured["floor_bytes"]
    return None if peer is None or floor is None else peer / floor


def on_disk(measured: Round) -> str:
    times, size = disk_ratio(measured), measured["peer_bytes"]
    if times is None or size is None:
        return ""
    return f"{size / 1e6:.1f} MB ({short(times)})" + (f", {measured['remark']}" if measured["remark"] else "")


def growth_mb(rounds: list[Round]) -> float | None:
    grown = [one["growth_mb"] for one in rounds if one["growth_mb"] is not None]
    return median(grown) if grown else None


def growth(rounds: list[Round]) -> str:
    grown = growth_mb(rounds)
    return "" if grown is None else f"+{grown:.0f} MB"


def at_size(workload: str, rounds: list[Round]) -> bool:
    """Tell whether the rounds are such as the targets are for: of full size, and commits left to the system."""
    return all(one["size"] == WORKLOADS[workload].size and not one["flush"] for one in rounds)


def verdict(target: Target, rounds: list[Round]) -> str:
    asked = f"at most {target.time:g}"
    met = middle(rounds) <= target.time
    disk, grown = disk_ratio(rounds[-1]), growth_mb(rounds)
    if target.disk is not None:
        asked += f", on disk {target.disk:g}"
        met = met and disk is not None and disk <= target.disk
    if target.memory_mb is not None:
        asked += f", +{target.memory_mb:g} MB"
        met = met and (grown is None or grown <= target.memory_mb)
    return f"{asked}: {'met' if met else 'MISSED'}"


def short(number: float) -> str:
    """Return three figures of a small number, all figures before the point of a large one."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def lacking(peers: list[str], workloads: list[str]) -> str:
    """Return a line for each reason why a workload has no row for a peer."""
    lines: dict[str, list[str]] = {}
    for peer in peers:
        for workload in workloads:
            if reason := PEERS[peer].lacks.get(workload):
                lines.setdefault(f"{peer}: {reason}", []).append(workload)
    return "\n".join(f"- n/a {', '.join(which)} of {why}" for why, which in lines.items())
