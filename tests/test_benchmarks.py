"""The benchmark, on tiny data: that it runs and shows its table, not how fast anything is."""

import json

import pytest
from conftest import run_python

from servers import find_program
from servers.programs import KINDS


@pytest.mark.slow
def test_benchmark_measures_every_row_whose_peer_is_installed(mysql_server, clone, tmp_path):
    # It starts a server of its own; mysql_server is asked for only to skip where there is none.
    for peer in ("pymysql", "asyncmy"):
        (tmp_path / f"{peer}.py").write_text("raise ModuleNotFoundError('not here')")
    program = (clone / "benchmarks" / "run.py", "--rows", "1000", "--rounds", "1")
    settings = {"PYTHONPATH": str(tmp_path)}
    done = run_python(*program, "--output", tmp_path, cwd=tmp_path, settings=settings)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["rows"], results["rounds"]) == (1_000, 1)
    for row in results["results"]:
        assert row["verdict"] in ("reached", "MISSED") or row["target"] == "none"
        assert f"| {' | '.join(row.values())} |" in done.stdout
    assert "| PyMySQL SSDictCursor | left out: not here" in done.stderr
    assert "PyMySQL" not in done.stdout
    assert "asyncmy" not in done.stdout
    streamed = {row["server"] for row in results["results"] if row["what"] == "stream_users()"}
    assert ", ".join(sorted(streamed)) == results["servers"]
    assert len(streamed) == sum(map(bool, map(find_program, KINDS)))
    measured = " ".join(row["what"] for row in results["results"])
    for part in (
        "stream_users()",
        "lazy_paginate",
        "average",
        "insert_data",
        "cache_query",
        "peak",
    ):
        assert part in measured
    assert {row["case"] for row in results["growth"]} >= {"load", "stream_users", "driver_fetchall"}
