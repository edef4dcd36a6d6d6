"""`make bench`: what was promised about speed, size and cost, measured now, on this machine, side by side.

`python -m bench [reader path memory units cost cold xlsx] [--quick]`. Figures are CPU time, medians of several runs
that take turns, each in a process of its own; only ratios mean something elsewhere.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import data

ROOT = Path(__file__).resolve().parents[1]
BENCH_PYTHON = ROOT / ".venv-bench/bin/python"
SECTIONS = ("reader", "path", "memory", "units", "cost", "cold", "xlsx")
LAMBDA_SLOWDOWN = 2.5
"""How many times as long a Lambda's processor takes as this one; the cost model's one guess."""
PRICES: dict[str, Any] = json.loads((Path(__file__).parent / "prices.json").read_text())


def run_process(python: Path | str, *arguments: str) -> dict[str, Any]:
    """What a measuring process says of itself on its last line."""
    path = os.pathsep.join((str(ROOT / "shared"), str(ROOT / "infra"), str(ROOT)))
    done = subprocess.run(
        [str(python), "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def measure_in_turns(rounds: int, commands: Mapping[str, tuple[str, ...]]) -> dict[str, list[dict[str, Any]]]:
    """Every way measured so many times, in another order each time."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for turn in range(rounds):
        for name in random.Random(turn).sample(list(commands), len(commands)):
            found[name].append(run_process(BENCH_PYTHON, *commands[name]))
    return found


def median(runs: Sequence[dict[str, Any]], of: str) -> float:
    return float(statistics.median(run[of] for run in runs))


def print_title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def print_target(what: str, reached: float, target: float, *, at_most: bool, why: str = "") -> None:
    """Whether a target was reached, and if not, by how much it was missed and why."""
    met = reached <= target if at_most else reached >= target
    bound = "at most" if at_most else "at least"
    missed = "" if met else f", MISSED by {abs(reached - target) / target:.0%}" + (f": {why}" if why else "")
    print(f"  target {what}: {bound} {target:g}, reached {reached:.2f}{missed or ', met'}", flush=True)


def reader(folder: Path, quick: bool) -> None:
    from bench.readers import ROWS_ONLY, WAYS

    rows = 20_000 if quick else 200_000
    print_title(f"Reading and checking {rows:,} rows of CSV, one in a hundred bad")
    path = data.write_csv(folder / "rows.csv", rows)
    found = measure_in_turns(1 if quick else 5, {name: ("bench.readers", name, str(path)) for name in WAYS})
    speeds = {name: rows / median(runs, "cpu") for name, runs in found.items()}
    usual = speeds["csv.DictReader + pydantic v2"]
    bad = data.bad_rows(rows)
    print(f"  {'':32}{'rows per CPU-second':>20}{'to pydantic':>13}{'bad accepted':>14}{'peak MB':>9}")
    for name, runs in found.items():
        passed = "" if name == ROWS_ONLY else f"{max(bad - runs[0]['bad'], 0):,}"
        print(
            f"  {name:32}{speeds[name]:>20,.0f}{speeds[name] / usual:>12.2f}x{passed:>14}{median(runs, 'peak'):>9.0f}"
        )
    print(
        "  Each parses and checks every row and counts what it accepts. Of retour: the reader alone sees to encoding,"
    )
    print(
        "  quotes, widths and damaged cells; the last line makes each accepted row a record, with its hashes, as well."
    )
    ours = found["retour"]
    why = "pydantic checks a row in compiled code and forgets it; each row here keeps its place and its raw text"
    print_target("times pydantic at parsing and checking", speeds["retour"] / usual, 3, at_most=False, why=why)
    print_target("bad rows accepted", bad - ours[0]["bad"], 0, at_most=True)


@contextmanager
def stub(folder: Path) -> Iterator[tuple[str, str]]:
    """The TLS server that answers after 8 ms: its port and the certificate authority to believe."""
    server = subprocess.Popen([str(BENCH_PYTHON), "-m", "bench.stub", str(folder)], cwd=ROOT)
    try:
        while not (folder / "port").exists():
            assert server.poll() is None, "the stub ended while starting"
            time.sleep(0.02)
        yield (folder / "port").read_text(), str(folder / "ca.pem")
    finally:
        server.terminate()
        server.wait()


def path(folder: Path, quick: bool) -> float:
    """CPU seconds of a row on its whole path."""
    from bench.path import IMPLEMENTATIONS

    rows = 5_000 if quick else 40_000
    print_title(
        f"The whole path of {rows:,} rows: parse, validate, identify, serialise, sign, send over TLS (8 ms away)"
    )
    sent = data.write_csv(folder / "path.csv", rows)
    with stub(folder) as (port, authority):
        commands = {name: ("bench.path", name, str(sent), port, authority) for name in IMPLEMENTATIONS}
        found = measure_in_turns(1 if quick else 5, commands)
    each = {name: statistics.median(run["cpu"] / run["rows"] for run in runs) for name, runs in found.items()}
    print(f"  {'':42}{'µs of CPU a row':>16}{'rows a second':>15}{'peak MB':>9}")
    for name, runs in found.items():
        rate = statistics.median(run["rows"] / run["wall"] for run in runs)
        print(f"  {name:42}{each[name] * 1e6:>16.1f}{rate:>15,.0f}{median(runs, 'peak'):>9.0f}")
    print(
        "  Of retour: its reader, its records with all their hashes, the items they are stored as, 25 to a conditional"
    )
    print("  batch. The usual way writes without a condition and does not say where a row stood.")
    ours, usual = float(each["retour"]), each["csv.DictReader + pydantic + batch_writer"]
    why = "half of it is botocore's: what it takes to make, sign and judge a request of 25 rows, kept on purpose"
    print_target("share of the usual way's CPU", ours / usual, 0.25, at_most=True, why=why)
    return ours


def memory(folder: Path, quick: bool) -> None:
    from bench.memory import STEPS

    print_title("Growth of the peak of memory over an idle handler, in MB")
    sizes = (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000)
    print(f"  {'':14}" + "".join(f"{f'{size:,} rows':>18}" for size in sizes))
    worst = 0.0
    grown = {size: folder / f"memory{size}" for size in sizes}
    for step in STEPS:
        growths = [
            run_process(BENCH_PYTHON, "bench.memory", step, str(size), str(grown[size]))["growth"] for size in sizes
        ]
        worst = max(worst, *growths)
        print(f"  {step:14}" + "".join(f"{growth:>18.1f}" for growth in growths), flush=True)
    print_target("MB at any size", worst, 64, at_most=True)


def units() -> dict[str, Any]:
    print_title("Write units for each modification, by AWS's rules")
    found = run_process(sys.executable, "bench.units")
    print(f"  alone, by a webhook: {found['single']:.2f} (and {found['delivery']:.2f} for its delivery)")
    for each, cost in found["by_file"].items():
        print(f"  in a file, {each} of them meeting one action: {cost:.2f}")
    print_target("units for a single modification", found["single"], 2.0, at_most=True)
    print_target("units where three meet one action", found["by_file"]["3"], 1.5, at_most=True)
    return found


def cost(written: dict[str, Any], seconds: float) -> None:
    print_title(f"US dollars for a million modifications (prices of {PRICES['valid_from']}, {PRICES['region']})")
    p, compute = PRICES, LAMBDA_SLOWDOWN * PRICES["lambda_gb_second_arm64"]
    # A bucket of some six thousand rows: its rows and outcomes put and read once, four transitions, one call.
    bucket = 2 * (p["s3_put"] + p["s3_get"]) + 4 * p["step_functions_transition"] + p["lambda_request"]
    for each, units_each in written["by_file"].items():
        of_orders = 1 / int(each)
        parts = {
            "table": units_each * p["dynamodb_write_unit"] + of_orders * p["dynamodb_read_unit"],
            # The stream tells of each insert and folds its order once more, a hundred to a call.
            "stream": of_orders * p["dynamodb_read_unit"] + p["lambda_request"] / 100 + 0.002 * 0.25 * compute,
            "compute": 3 * seconds * 1.73 * compute,
            "the rest": bucket / 6_000,
        }
        print(f"  file, {each} a action: {sum(parts.values()) * 1e6:>6.2f}   ({shares(parts)})")
    parts = {
        "API": p["http_api_request"],
        "table": (written["single"] + written["delivery"]) * p["dynamodb_write_unit"] + 3 * p["dynamodb_read_unit"],
        "compute": 2 * p["lambda_request"] + 0.02 * 0.25 * compute,
        "stream": p["dynamodb_read_unit"],
    }
    print(f"  webhook, one each:  {sum(parts.values()) * 1e6:>6.2f}   ({shares(parts)})")
    print(f"  A model: compute counted {LAMBDA_SLOWDOWN} times as slow as here; a webhook 20 ms at 256 MB. Idle: 0.00")


def shares(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {value * 1e6:.2f}" for name, value in parts.items())


def cold(quick: bool) -> None:
    print_title("Cold start: CPU of a fresh process up to the end of its first event, to boto3 and one put")
    found = run_process(sys.executable, "bench.cold", "1" if quick else "5")
    usual = found.pop("boto3 and one put")["cpu"]
    print(f"  {'boto3 and one put':20}{usual * 1000:>8.0f} ms")
    for name, one in found.items():
        print(f"  {name:20}{one['cpu'] * 1000:>8.0f} ms{one['cpu'] / usual:>8.2f}x")
    why = "some eighty classes of its own, and a second client or more calls than one put"
    for name in ("webhook", "take_rows", "apply"):
        print_target(f"of {name}", found[name]["cpu"] / usual, 1.25, at_most=True, why=why)


def xlsx(folder: Path, quick: bool) -> None:
    rows = 3_000 if quick else 20_000
    print_title(f"Reading {rows:,} rows of XLSX")
    book = folder / "rows.xlsx"
    run_process(BENCH_PYTHON, "bench.workbooks", "write", str(book), str(rows))
    ways = ("retour", "openpyxl")
    found = measure_in_turns(1 if quick else 5, {name: ("bench.workbooks", name, str(book)) for name in ways})
    speeds = {name: rows / median(runs, "cpu") for name, runs in found.items()}
    for name, runs in found.items():
        print(f"  {name:12}{speeds[name]:>10,.0f} rows per CPU-second{median(runs, 'peak'):>9.0f} MB")
    print_target("times openpyxl", speeds["retour"] / speeds["openpyxl"], 4, at_most=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="small sizes, one run: whether it works, not how fast")
    asked = parser.parse_args()
    wanted = set(asked.sections or SECTIONS)
    with tempfile.TemporaryDirectory(prefix="retour-bench-") as name:
        folder = Path(name)
        if "reader" in wanted:
            reader(folder, asked.quick)
        seconds = path(folder, asked.quick) if wanted & {"path", "cost"} else 0.0
        if "memory" in wanted:
            memory(folder, asked.quick)
        written = units() if wanted & {"units", "cost"} else {}
        if "cost" in wanted:
            cost(written, seconds)
        if "cold" in wanted:
            cold(asked.quick)
        if "xlsx" in wanted:
            xlsx(folder, asked.quick)


if __name__ == "__main__":
    main()
