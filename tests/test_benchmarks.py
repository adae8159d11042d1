"""The benchmark, on tiny data: that it runs and shows its table, not how fast anything is."""

import json

from conftest import run_python


def test_benchmark_measures_every_row_of_its_table(mysql_server, clone, tmp_path):
    # It starts a server of its own; mysql_server is asked for only to skip where there is none.
    arguments = ("--rows", "1000", "--rounds", "1", "--output", tmp_path)
    done = run_python(clone / "benchmarks" / "run.py", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["rows"], results["rounds"]) == (1_000, 1)
    for row in results["results"]:
        assert row["verdict"] in ("reached", "MISSED") or row["measured"].startswith("peer missing")
        assert (
            f"| {row['what']} | {row['against']} | {row['target']} | {row['measured']} |"
            in done.stdout
        )
    whats = " ".join(row["what"] for row in results["results"])
    for part in (
        "stream_users()",
        "lazy_paginate",
        "average",
        "insert_data",
        "cache_query",
        "peak memory",
    ):
        assert part in whats
    assert {row["case"] for row in results["growth"]} >= {"load", "stream_users", "driver_fetchall"}
