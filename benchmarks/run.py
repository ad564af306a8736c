"""Every benchmark, one table: ``python -m benchmarks.run [name …] [--json FILE]``.

Each module of this folder has a function ``rows()`` that returns dictionaries with the keys ``what``, ``value``,
``unit`` and, where there is an alternative measured in the same run, ``against`` and ``ratio`` (alternative / ours:
above 1 means ours is faster or smaller); where memory is measured, ``peak`` (MiB above what was held before) and,
against the same alternative, ``peak_ratio``.
"""

import argparse
import importlib
import json
import os
import platform
from pathlib import Path

MODULES = ("street", "data", "motion", "networks", "key_frames", "training", "orchestration")


def main() -> None:
    """Run the benchmarks named on the command line (all of them if none is) and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(MODULES)} (default: all)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MODULES)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; known: {', '.join(MODULES)}")
    rows = []
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    memory = f"{'peak':>9} | {'ratio':>6}"
    print(f"| {'benchmark':<14} | {'what':<58} | {'value':>12} | {'against':<34} | {'ratio':>6} | {memory} |")
    print(f"|{'-' * 16}|{'-' * 60}|{'-' * 13}:|{'-' * 36}|{'-' * 7}:|{'-' * 10}:|{'-' * 7}:|")
    for name in arguments.names or MODULES:
        for row in importlib.import_module(f"benchmarks.{name}").rows():
            rows.append({"benchmark": name, **row})
            value = f"{row['value']:.4g} {row['unit']}"
            ratio, peak_ratio = (f"{row[key]:.2f}" if key in row else "" for key in ("ratio", "peak_ratio"))
            peak = f"{row['peak']:.0f} MiB" if "peak" in row else ""
            against = f"{row.get('against', ''):<34} | {ratio:>6} | {peak:>9} | {peak_ratio:>6}"
            print(f"| {name:<14} | {row['what']:<58} | {value:>12} | {against} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
