"""The benchmarks' own arithmetic: ratios, targets, tables, the chart, medians and growth."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.chart import Panel, draw, scale
from bench.machine import exponent, quantile
from bench.report import Column, Row, digits, markdown, ratio, ratios, verdict
from bench.rounds import Runs
from bench.workloads import WORKLOADS, Figure, Workload

NAMES = {"c_one": "C", "ours": "this worker"}


def cost(key="cpu", **options):
    return Figure(key, "fan-out", "s/million", lambda result: result.get("cpu"), **options)


@pytest.mark.parametrize(("value", "state"), [(13.0, "**moonshot reached**"), (16.0, "reached"), (17.5, "**missed**")])
def test_a_target_is_a_ratio_to_another_server(value, state):
    row = Row(cost(targets={"c_one": (1.7, 1.3)}), {"c_one": 10.0, "ours": value})
    assert verdict(row, NAMES) == f"{value / 10:.2f} × C (at most 1.7, moonshot 1.3): {state}"


def test_where_more_is_better_a_target_is_a_lower_bound():
    row = Row(cost(is_less_better=False, targets={"c_one": (8.0, 11.0)}), {"c_one": 1.0, "ours": 9.0})
    assert verdict(row, NAMES) == "9.00 × C (at least 8, moonshot 11): reached"


def test_a_server_that_did_not_take_part_has_no_ratio_and_no_verdict():
    row = Row(cost(targets={"nats": (1.8, 2.3)}), {"nats": None, "ours": 1.0})
    assert ratio(row, "nats") is None and verdict(row, NAMES) == ""


def test_the_table_has_a_row_for_each_figure():
    columns = [Column("c_one", "C", "gcc"), Column("ours", "this worker", "abc")]
    table = markdown(columns, [Row(cost(), {"c_one": 4.35, "ours": None})])
    assert table.splitlines()[2] == "| fan-out (s/million) | 4.35 | – | – |"
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_figure_that_got_worse_is_marked():
    rows = [Row(cost(), {"base": 1.0, "ours": 1.3}), Row(cost(is_less_better=False), {"base": 1.0, "ours": 1.3})]
    assert [line.split("|")[-2].strip() for line in ratios(rows, base="a", now="b").splitlines()[2:]] == [
        "**slower**",
        "faster",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.284, "0.28"), (13.52, "13.5"), (232_431, "232,000"), (1_725_000, "1,720,000")]
)
def test_figures_are_rounded_to_what_they_are_worth(value, text):
    assert digits(value) == text


def test_the_median_leaves_out_figures_that_most_runs_do_not_show():
    workload, runs = Workload("w", (), (cost(),)), Runs()
    runs.results["w", "ours"] = [{"cpu": 3.0}, {"cpu": 1.0}, {}]
    assert runs.figure(workload, workload.figures[0], "ours") == 2.0
    runs.results["w", "ours"] = [{"cpu": 3.0}, {}, {}]
    assert runs.figure(workload, workload.figures[0], "ours") is None


def test_keys_of_figures_are_unique():
    keys = [figure.key for workload in WORKLOADS for figure in workload.figures]
    assert len(set(keys)) == len(keys)


def test_bars_are_logarithmic_only_if_values_differ_widely():
    assert scale([1.0, 2.0], 100) == [50.0, 100.0]
    least, middle, most = scale([1.0, 30.0, 900.0], 100)
    assert middle - least == pytest.approx(most - middle) and most == pytest.approx(100)


def test_the_chart_is_well_formed_whatever_servers_are_called():
    svg = draw("a < b", [Panel("p & q", [("this <worker>", 2.0, "2"), ("C", 0.0, "0")])], highlighted="this <worker>")
    assert len(ElementTree.fromstring(svg).findall(".//{*}rect")) == 3


def test_growth():
    assert exponent([10, 100, 1000], [2, 20, 200]) == pytest.approx(1)
    assert exponent([10, 1000], [5, 5]) == pytest.approx(0)
    assert quantile([3, 1, 2], 0.5) == 2
