"""What campaigns share: an interruption loses no result, the record adds all of them up."""

import json
import sys

import pytest
from campaigns import common, mutants
from campaigns.common import Campaign, Trial, run_campaign

sys.path.insert(0, str(common.ROOT / "docs"))
import reliability_table


def campaign(tried, wrong=None):
    def trial(folder, number):
        tried.append(number)
        if number == wrong:
            return Trial(faults=1, inputs=2, lost=1, why="the last step is gone")
        return Trial(faults=1, inputs=2, facts={"step": number})

    def steps(facts):
        return f"steps {[row.get('step') for row in facts]}"

    return Campaign(
        "try", "what | is done", 3, 5, prepare=lambda *_: None, trial=trial, conclude=steps
    )


def run(tmp_path, tried, *words, wrong=None):
    words = ["--work", str(tmp_path), "--out", str(tmp_path / "records"), *words]
    status = run_campaign(campaign(tried, wrong), words)
    return status, json.loads((tmp_path / "records" / "try.json").read_text())


@pytest.mark.slow
def test_damaged_files_in_miniature(tmp_path):
    """Check, training and evaluation of damaged files: bounded, and the same verdict."""
    result = mutants.trial(mutants.prepare(tmp_path, 1), 0, count=20)
    assert (result.inputs, result.silent, result.uncaught, result.why) == (20, 0, 0, "")


def test_a_campaign_continues(tmp_path):
    tried = []
    status, record = run(tmp_path, tried)
    assert (status, tried, record["faults"]) == (0, [0, 1, 2], 3)
    assert record["notes"] == (
        "3 of 5 trials; all: `python tests/campaigns/try.py --full`; steps [0, 1, 2]"
    )
    results = tmp_path / "try-0" / "results.jsonl"
    results.write_text(results.read_text()[:-5])  # killed while it wrote the last result
    status, record = run(tmp_path, tried, "--full", wrong=4)
    assert (status, tried) == (1, [0, 1, 2, 2, 3, 4])
    assert [record[key] for key in common.COUNTS] == [5, 10, 1, 0, 0]
    assert "trial 4: the last step is gone" in record["notes"]


def test_results_of_other_code_are_put_aside(tmp_path, monkeypatch):
    tried = []
    run(tmp_path, tried)
    monkeypatch.setattr(common, "code_digest", lambda: "other")
    assert run(tmp_path, tried, "--keep", "--count", "3")[1]["faults"] == 3
    assert tried == [0, 1, 2]
    monkeypatch.setattr(common, "code_digest", lambda: "another")
    assert run(tmp_path, tried, "--count", "1")[1]["faults"] == 1
    assert tried == [0, 1, 2, 0]
    assert (tmp_path / "try-0" / "results.jsonl.old").exists()


def test_the_time_is_limited(tmp_path):
    tried = []
    run(tmp_path, tried, "--minutes", "-1")
    assert tried == []


def test_the_table(tmp_path):
    _, record = run(tmp_path, [])
    row = reliability_table.render([record]).splitlines()[2]
    assert row.startswith("| `try` | what \\| is done |  | 3 | 6 | 0 | 0 | 0 | 0.0 min, 2")


@pytest.mark.parametrize("path", common.find_campaigns(), ids=lambda path: path.stem)
def test_a_script_has_the_name_of_its_campaign(path):
    assert f'\nCAMPAIGN = Campaign(\n    "{path.stem}",' in path.read_text(encoding="utf-8")
