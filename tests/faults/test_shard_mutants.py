"""The checker finds out: each precaution of the product taken out in turn, under a crowd; and nothing without that."""
from __future__ import annotations

import json
import re
import sys

import pytest

from tests.faults.shard_faults import PATIENT, env, place_on, placed
from tests.faults.shard_mutants import MUTANTS
from tests.shard.servers import mysqls  # noqa: F401   pytest finds it here
from tests.waiting import running

ROWS = 300
TRIES = 5       # a crowd on a machine that is busy elsewhere may pass by the row that matters, and a race is a chance
# Of those that show themselves only to a schedule of their own, or only on MySQL.
OWN = {"none", "cleanup-without-fence", "unfenced-mover", "late-helper-lowers", "fence-does-not-drain"}
# A mutant that no longer fits the product fails too, and proves nothing.
OUTDATED = re.compile(r"\b(?:Attribute|Type|Name|Import)Error\b")
SLEEPERS = ("copy: rows read", "clean: committed", "transition: s0 fenced")


def found(mutant, place, *words):
    """What the crowd met."""
    command = [sys.executable, "-P", "-m", "tests.faults.shard_mutants", mutant, str(place.file), *words]
    with running(command, env()) as process:
        status = process.wait(250)
        line = next((line for line in process.output.splitlines() if line.startswith("found ")), None)
        assert line is not None, (status, process.output[-3000:])
        assert not OUTDATED.search(line), f"it is not the mistake that was found, but one of the mutant: {line}"
        return json.loads(line.removeprefix("found "))


@pytest.mark.parametrize("mutant", sorted(set(MUTANTS) - OWN))
def test_a_mistake_is_found(mutant, tmp_path):
    phases = "cancel" if "cancel" in mutant else "add"
    for n in range(TRIES):
        (folder := tmp_path / str(n)).mkdir()
        met = found(mutant, placed(folder, rows=ROWS, n=2, move={"chunk": 50}), phases)
        if met["anomalies"] or met["wrong"] or met["outside"]:
            break
    else:
        pytest.fail(f"not found in {TRIES} moves")


@pytest.mark.parametrize("engine", ["sqlite", "mariadb"])
def test_the_product_makes_none_of_them(engine, request, tmp_path):
    place = place_on(engine, request, tmp_path, rows=ROWS, n=2, pool=PATIENT, move={"chunk": 50})
    met = found("none", place, "add-remove-cancel", *place.spare)
    assert met == {"failures": [], "anomalies": [], "wrong": [], "outside": []}


def test_a_fence_that_does_not_drain_is_found_on_mysql(request, tmp_path):
    place = place_on("mariadb", request, tmp_path, rows=ROWS, n=2, move={"chunk": 50})
    met = found("fence-does-not-drain", place, "writer", *place.spare)
    assert met["acknowledged"] == [True], met
    assert met["value"] != "late", met      # lost


@pytest.mark.parametrize("step", SLEEPERS)
def test_a_mover_that_wakes_when_the_keys_are_back_is_refused(step, tmp_path):
    met = found("none", placed(tmp_path, rows=ROWS, n=2, pool=PATIENT, move={"chunk": 20}), "sleeper", step)
    assert met == {"failures": [], "anomalies": [], "wrong": [], "outside": [], "rows": ROWS}


def test_an_unfenced_cleaner_that_wakes_when_the_keys_are_back_is_found(tmp_path):
    met = found("unfenced-mover", placed(tmp_path, rows=ROWS, n=2, move={"chunk": 20}), "sleeper", "clean: committed")
    assert met["wrong"] or met["outside"] or met["rows"] < ROWS or met["anomalies"], met


def test_a_helper_that_lowers_an_epoch_is_found(tmp_path):
    short = {"wait": "1s", "statement": "1s"}       # nobody is served behind that
    met = found("late-helper-lowers", placed(tmp_path, rows=ROWS, n=2, pool=short), "helper", "transition: s0 fenced")
    assert any("fell" in one for one in met["outside"]), met


@pytest.mark.parametrize("mutant", ["none", "cleanup-without-fence"])
def test_a_read_that_slept_until_its_row_is_deleted_starts_over(mutant, tmp_path):
    met = found(mutant, placed(tmp_path, rows=ROWS, n=2), "reader")
    (answer,) = met["answers"]
    assert (answer is not None) == (mutant == "none"), met
