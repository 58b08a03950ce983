"""Reports of studies whose sweep names its arms: comparisons that it declares, intervals, cost and learning."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import study_records
import tiny
from sltk import sweeps
from sltk.cli import main
from sltk.errors import InvalidSpecError, UsageError
from sltk.reports import arm_figures
from sltk.reports.arm_tables import arm_table, conditions_text, cost_table, learning_table, sentence_interval
from sltk.reports.arrangement import arrange
from sltk.reports.assembly import task_notes
from sltk.reports.comparisons import compare_declared
from sltk.reports.discovery import collect
from sltk.reports.result_tables import ResultTable, choice_text
from sltk.reports.run_records import SentenceCounts, read_records, write_records
from sltk.reports.significance.paired import holm, mean_interval
from sltk.reports.significance.sentences import f1_interval, f1_mean_interval, f1_randomisation
from sltk.reports.significance_tables import significance_tables
from sltk.reports.study import StudyTask
from sltk.rundir.pretrained_origin import Origin
from sltk.sweeps import comparison_text
from sltk.sweeps.comparison_text import ComparisonError

FAIR_AGAINST_FLAWED = "repeat_1_padding:1111_padding::repeat_1:1111"


@pytest.fixture(scope="module")
def task() -> StudyTask:
    """The study of `study_records.named_arms`."""
    return arrange(study_records.named_arms())[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report, from records, by the command line, whose output is in `shown`."""
    folder = tmp_path_factory.mktemp("arms")
    write_records(folder / "study.jsonl", study_records.named_arms())
    with (folder / "shown").open("w") as shown, contextlib.redirect_stdout(shown):
        assert main(["report", str(folder / "study.jsonl"), "--output", str(folder / "out")]) == 0
    return folder / "out"


def column(table: ResultTable | None, name: str) -> dict[str, str]:
    """The cells of a column by arm."""
    assert table is not None
    return {row[0]: row[table.columns.index(name)] for row in table.rows}


def test_arms_keep_the_names_and_the_order_of_the_sweep(task: StudyTask, page: Path) -> None:
    """The names label every table, whatever differs between arms; results.csv has them too."""
    names = list(study_records.ARMS)
    assert [each.label for each in task.configurations] == names
    assert [row[0] for row in arm_table(task).rows] == names
    rows = list(csv.DictReader((page / "results.csv").open()))
    assert [row["configuration"] for row in rows[::3]] == names
    assert float(rows[0]["prediction_words_per_second"]) == 300
    assert list(rows[0])[-2:] == ["pretraining", "checkpoint"]


def test_the_report_of_a_study_has_its_figures(page: Path) -> None:
    """Arms, comparisons, learning curves and cost, instead of those of masks."""
    drawn = {path.stem for path in (page / "figures").glob("*.svg")}
    assert drawn == {"arms", "comparisons", "arm_curves", "arm_cost", "types", "confusion"}
    text = (page / "report.md").read_text()
    titles = re.findall(r"^### (.*)", text, re.MULTILINE)
    assert titles == ["Scores", "Types", "Comparisons", "Cost", "Learning", "Runs"]


def test_the_terminal_shows_scores_and_comparisons(page: Path) -> None:
    """Arms in their order, and each declared comparison with its corrected p."""
    shown = (page.parent / "shown").read_text()
    assert re.findall(r"^(0000|0011 .|1111) +3 ", shown, re.MULTILINE) == ["0000", "0011 *", "1111"]
    assert re.search(r"^repeat_1 − 1111 +[+-]", shown, re.MULTILINE)
    assert "after Holm's correction over 3." in shown


def test_only_declared_comparisons_are_one_family(task: StudyTask) -> None:
    """Holm's correction is over the comparisons that the sweep declares, for each kind of test."""
    family = compare_declared(task)
    assert [each.label for each in family] == [
        "0011 − 1111", "repeat_1 − 1111", "(repeat_1_padding − 1111_padding) − (repeat_1 − 1111)",
    ]  # fmt: skip
    for number in range(3):
        p_values = [each.tests[number].p for each in family]  # type: ignore[union-attr]
        assert [each.corrected[number] for each in family] == holm(p_values)


def test_a_difference_of_differences_is_computed_seed_by_seed(task: StudyTask) -> None:
    """Over seeds, the margin of each flawed pair is paired with that of the fair pair of the same seed."""
    margins = compare_declared(task)[-1]
    scores = {each.label: each.scores("test") for each in task.configurations}
    for place, seed in enumerate((120, 121, 122)):
        flawed = scores["repeat_1_padding"][seed] - scores["1111_padding"][seed]
        fair = scores["repeat_1"][seed] - scores["1111"][seed]
        assert margins.scores[0][place] == pytest.approx(flawed)
        assert margins.scores[1][place] == pytest.approx(fair)
    sentences = margins.tests[2]
    assert sentences is not None
    assert sentences.difference == pytest.approx(margins.tests[0].difference)
    assert margins.is_reliable is False  # noise of this size hides a difference of a few points
    over_sentences = margins.intervals[1]
    assert over_sentences is not None
    assert over_sentences.low is not None
    assert over_sentences.high is not None
    assert over_sentences.low < sentences.difference < over_sentences.high


def test_a_reliable_difference_holds_over_seeds_and_over_sentences() -> None:
    """It is significant over sentences, and its interval over seeds excludes 0; a difference of 0 is not reliable."""
    arms = {
        name: (quality, {"unmask": "00"}) for name, quality in (("bad", 0.2), ("worse", 0.2), ("good", 0.8))
    }
    (task,) = arrange(study_records.named_arms(arms=arms, compare=["good:bad", "worse:bad"]))
    assert [each.is_reliable for each in compare_declared(task)] == [True, False]


def counts(rng: np.random.Generator, sentences: int) -> SentenceCounts:
    gold = rng.integers(0, 4, sentences)
    correct = rng.integers(0, gold + 1)
    predicted = correct + rng.integers(0, 2, sentences)
    return SentenceCounts(gold=gold.tolist(), predicted=predicted.tolist(), correct=correct.tolist())


def f1(run: SentenceCounts, chosen: list[int]) -> float:
    gold, predicted, correct = (
        sum(values[place] for place in chosen) for values in (run.gold, run.predicted, run.correct)
    )
    return 2 * correct / (gold + predicted) if gold + predicted else 0.0


def test_randomisation_of_a_difference_of_differences_equals_all_assignments() -> None:
    """p agrees with the share of all 2^6 swaps of pairs that are as extreme, by a slow F1."""
    rng = np.random.default_rng(3)
    a, b, c, d = (counts(rng, 6) for _ in range(4))

    def statistic(swapped: tuple[int, ...]) -> float:
        def mixed(one: SentenceCounts, other: SentenceCounts) -> float:
            values = {
                name: [getattr(other if swap else one, name)[place] for place, swap in enumerate(swapped)]
                for name in ("gold", "predicted", "correct")
            }
            return f1(SentenceCounts(**values), list(range(6)))

        return (mixed(a, c) - mixed(b, d)) - (mixed(c, a) - mixed(d, b))

    observed = statistic((0,) * 6)
    extreme = [abs(statistic(each)) >= abs(observed) - 1e-12 for each in itertools.product((0, 1), repeat=6)]
    result = f1_randomisation([a, b], [c, d], weights=[1, -1])
    assert result.difference == pytest.approx(observed)
    assert result.p == pytest.approx(sum(extreme) / len(extreme), abs=0.02)


def test_intervals_over_sentences_are_those_of_resampled_sentences() -> None:
    """The bootstrap of a mean F1, and of a difference of differences, agree with one drawn sentence by sentence."""
    rng = np.random.default_rng(5)
    runs = [counts(rng, 30) for _ in range(4)]
    draws = [rng.integers(0, 30, 30).tolist() for _ in range(3000)]
    resampled = np.array([[f1(run, draw) for run in runs] for draw in draws])
    mean = f1_mean_interval(runs)
    assert (mean.low, mean.high) == pytest.approx(np.quantile(resampled.mean(1), [0.025, 0.975]), abs=0.01)
    margins = resampled @ [1, -1, -1, 1]
    interval = f1_interval(runs[:2], runs[2:], weights=[1, -1])
    assert (interval.low, interval.high) == pytest.approx(np.quantile(margins, [0.025, 0.975]), abs=0.015)


def test_a_difference_of_differences_has_the_promised_rate_of_false_positives() -> None:
    """If a flaw lowers both arms alike, about 5 in 100 studies find that it changes their difference at 0.05."""

    def rejects(number: int) -> bool:
        rng = np.random.default_rng(number)
        gold, difficulty = rng.poisson(1.3, 80), rng.normal(0, 1.2, 80)
        arms = []
        for quality in (0.4, 0.4, 1.0, 1.0):
            correct = rng.binomial(gold, 1 / (1 + np.exp(-quality - difficulty - rng.normal(0, 0.3, 80))))
            predicted = correct + rng.binomial(gold - correct, 0.4)
            values = {"gold": gold, "predicted": predicted, "correct": correct}
            arms.append(SentenceCounts(**{name: each.tolist() for name, each in values.items()}))
        result = f1_randomisation(arms[:2], arms[2:], weights=[1, -1], draws=99)
        return result.p is not None and result.p <= 0.05

    assert 4 <= sum(map(rejects, range(300))) <= 26


def test_each_arm_has_an_interval_over_sentences_and_one_over_seeds(task: StudyTask) -> None:
    """Both contain the mean, and are in the table of scores."""
    each = task.configurations[1]
    mean = each.summary("test").mean
    for interval in (sentence_interval(each, "test"), mean_interval(list(each.scores("test").values()))):
        assert interval is not None
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < mean < interval.high
        text = f"{100 * interval.low:.2f} … {100 * interval.high:.2f}"
        assert text in next(row for row in arm_table(task).rows if row[0] == "0011")


def test_cost_is_relative_to_the_baseline(task: StudyTask) -> None:
    """One repetition at half the speed takes twice the time, in training and in prediction."""
    table = cost_table(task)
    for name in ("training time ×", "prediction time ×"):
        assert column(table, name)["repeat_1"] == "2.00"
        assert column(table, name)["0000"] == "1.00"
    assert column(table, "prediction words/CPU s")["repeat_1"] == "150"
    assert column(table, "parameters (M)")["minilm"] == "135.00"
    assert "relative to 0000: time per word, by CPU time" in table.note
    assert "pre-training" not in table.note
    started = study_records.named_arms(seeds=[1])
    started[1] = started[1].model_copy(update={"origin": Origin(run="mntp", objective="mntp")})
    assert "pre-training is not included: 0011." in cost_table(arrange(started)[0]).note


def test_costs_measured_differently_are_not_compared_silently() -> None:
    """Arms with other numbers of threads or another precision are named in the note."""
    records = study_records.named_arms(seeds=[1])
    for record in records:
        record.environment["precision"] = "bf16"
    records[1].environment.update(threads=2, precision="fp32")
    (task,) = arrange(records)
    text = conditions_text(task)
    assert "measured under different conditions" in text
    assert "threads 1 (0000, 1111, repeat_1 and 3 more), 2 (0011)" in text
    assert "precision bf16 (0000, 1111, repeat_1 and 3 more), fp32 (0011)" in text
    assert text in cost_table(task).note


def test_prediction_with_attention_to_padding_is_not_compared(task: StudyTask) -> None:
    """Those arms label in the batches of the spec: table and figure leave their speed out, and the note says so."""
    table = cost_table(task)
    for name in ("prediction words/s", "prediction words/CPU s", "prediction time ×"):
        assert {arm for arm, cell in column(table, name).items() if not cell} == {
            "1111_padding", "repeat_1_padding",
        }  # fmt: skip
    assert "" not in column(table, "training time ×").values()
    assert "larger passes: 1111_padding, repeat_1_padding." in table.note
    points = [len(axis.lines) for axis in arm_figures.cost([task]).axes if axis.lines]
    assert points == [7, 5]


def test_older_runs_have_ratios_by_wall_clock_time() -> None:
    """If an arm lacks the speed by CPU time, all ratios are those of wall-clock time."""
    records = study_records.named_arms(seeds=[1])
    del records[0].train["words_per_cpu_second"], records[0].train["prediction_words_per_cpu_second"]
    table = cost_table(arrange(records)[0])
    assert "by wall-clock time" in table.note
    assert column(table, "training time ×")["repeat_1"] == "2.00"


def test_the_table_of_learning_shows_whether_scores_have_flattened() -> None:
    """It has the gain of the last epoch and of the last third of training, mean over seeds."""
    records = study_records.named_arms(
        arms={"0000": study_records.ARMS["0000"], "0011": study_records.ARMS["0011"]}
    )
    for record in records:
        scores = [0.1, 0.3, 0.5, 0.6, 0.62, 0.63]
        record.curve.validation[:] = [(10 * n, float(n), score) for n, score in enumerate(scores, 1)]
    table = learning_table(arrange(records)[0])
    assert column(table, "gain of last epoch")["0011"] == "+1.00 ± 0.00"
    assert column(table, "gain of last third")["0011"] == "+3.00 ± 0.00"
    assert column(table, "best epoch")["0011"] == "6"


def test_an_arm_that_attends_to_padding_is_never_the_best() -> None:
    """Its scores depend on its batches, so validation does not choose it."""
    arms = {name: study_records.ARMS[name] for name in ("0000", "0011")}
    arms["0011_padding"] = (0.95, {"unmask": "0011", "attend_to_padding": True})
    assert "Best by validation: 0011," in choice_text(arrange(study_records.named_arms(arms=arms))[0])


def test_settings_that_vary_within_an_arm_follow_its_name() -> None:
    """Two masks of each arm are two configurations of it."""
    arms = {
        f"{size} {mask}": (0.5, {"unmask": mask, "size": size})
        for size in ("small", "large")
        for mask in ("00", "01")
    }
    records = [
        record.model_copy(update={"name": record.name.split()[0]})
        for record in study_records.named_arms(arms=arms)
    ]
    labels = [each.label for each in arrange(records)[0].configurations]
    assert labels == ["small, 00", "small, 01", "large, 00", "large, 01"]


def test_a_key_at_its_default_equals_a_run_without_it() -> None:
    """Run directories leave out `repeat: 0`: with and without it, a run is of one configuration."""
    one, other = study_records.study(["00"], seeds=[1, 2])
    one.settings["backbone"]["repeat"] = 0
    assert len(arrange([one, other])[0].configurations) == 1
    one.settings["backbone"]["repeat"] = 1
    assert [each.label for each in arrange([one, other])[0].configurations] == ["repeat 0", "repeat 1"]


def test_comparisons_can_be_chosen_for_any_report() -> None:
    """They may name masks too, and replace the comparisons with the baseline."""
    (task,) = arrange(study_records.study(["00", "01", "11"]), compare=["01:11", "01:00::11:00"])
    (table,) = [table for table in significance_tables(task) if table.title in ("Comparisons", "Differences")]
    assert table.title == "Comparisons"
    assert [row[0] for row in table.rows] == ["01 − 11", "(01 − 00) − (11 − 00)"]
    assert "over 2 comparisons" in table.note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0011", r"`0011` is not a comparison: expected `A:B` for A minus B"),
        ("0011:", "is not a comparison"),
        ("0011:1111::0000:1111::0000:0011", "is not a comparison"),
        ("repeat1:1111", r"there is no `repeat1`(.|\n)*did you mean `repeat_1`"),
        ("1111:1111", "compares `1111` with itself"),
        ("0011:1111::0011:1111", "compares a difference with itself"),
    ],
)
def test_a_wrong_comparison_is_one_clear_error(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with exit code 2 and the nearest name; nothing is written."""
    write_records(tmp_path / "a.jsonl", study_records.named_arms(seeds=[1]))
    options = ["--compare", text, "--output", str(tmp_path / "out")]
    assert main(["report", str(tmp_path / "a.jsonl"), *options]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_names_in_comparisons_may_contain_colons() -> None:
    """The masks `first:8` and `window:4` can be compared."""
    names = ["first:8", "last:8", "window:4", "0011"]
    assert comparison_text.parse("first:8:last:8", names) == ("first:8", "last:8")
    assert comparison_text.parse("0011 : window:4", names) == ("0011", "window:4")
    assert comparison_text.parse("first:8:0011::last:8:0011", names) == ("first:8", "0011", "last:8", "0011")
    with pytest.raises(ComparisonError, match="there is no"):
        comparison_text.parse("first:8:last:9", names)


def test_a_repeated_comparison_counts_once_in_the_correction() -> None:
    """Exact repeats are left out; a difference of differences in another order is the same one, too."""
    family = ["repeat_1:1111", "0011:1111"]
    (once,) = arrange(study_records.named_arms(), compare=family)
    (twice,) = arrange(study_records.named_arms(), compare=[*family, "repeat_1 : 1111", family[1]])
    for one, other in zip(compare_declared(once), compare_declared(twice), strict=True):
        assert (one.name, one.corrected) == (other.name, other.corrected)
    for text in ("a:b::c:d", "c:d::a:b", "b:a::d:c", "d:c::b:a", "a:c::b:d"):
        assert comparison_text.distinct(["a:b::c:d", text], "abcd") == ("a:b::c:d",)
    different = ["a:b::c:d", "a:b::d:c", "a:b", "a:c", "c:d", "1:2"]
    assert comparison_text.distinct(different, "abcd") == tuple(different)
    records = study_records.named_arms(compare=["0011:1111", "1111:0011"])  # as two sweeps may declare them
    assert arrange(records)[0].compare == ("0011:1111",)
    assert not list(comparison_text.problems(study_records.COMPARE, list(study_records.ARMS)))


@pytest.mark.parametrize("other", ["1111:0011", "1111 : 0011"])
def test_a_comparison_and_its_reverse_are_one_clear_error(other: str) -> None:
    """They are one test, which would count twice in the correction."""
    with pytest.raises(UsageError, match="is the same comparison as `0011:1111`") as caught:
        arrange(study_records.named_arms(seeds=[1]), compare=["0011:1111", "repeat_1:1111", other])
    assert len(caught.value.problems) == 1
    assert "count it twice" in caught.value.problems[0].notes[0]


def test_comparisons_without_runs_are_noted() -> None:
    """A study that is not finished is reported; the comparisons that lack runs are named."""
    records = [each for each in study_records.named_arms() if each.name != "repeat_1"]
    (task,) = arrange(records)
    note = f"not compared, because runs are missing: repeat_1:1111, {FAIR_AGAINST_FLAWED}"
    assert note in task_notes(task)
    assert len(compare_declared(task)) == 1


def sweep_spec(compare: list[str]) -> dict[str, Any]:
    """Two arms with different types of model and names that YAML could read as numbers, one seed."""
    arms = [
        {"name": "0011", "backbone.unmask": "01"},
        {"name": "encoder", "backbone": tiny.backbone(type="encoder", config=tiny.BERT, unmask="all")},
    ]
    return {
        **tiny.spec({"max_steps": 4, "learning_rate": 0.02}, data=tiny.all_splits()),
        "sweep": {"list": arms, "grid": {"seed": [120]}, "compare": compare},
        "executor": {"type": "local", "isolated": False},
    }


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real sweep with named arms."""
    folder = tmp_path_factory.mktemp("swept") / "study"
    outcome = sweeps.run(sweeps.plan(sweep_spec(["encoder:0011"])), folder)
    assert outcome.names("done") == ["0011,seed=120", "encoder,seed=120"]
    return folder


def test_a_sweep_hands_names_and_comparisons_to_its_report(swept: Path, tmp_path: Path) -> None:
    """From the folder and from its records: the same report, with the arms and what the sweep compares."""
    records = collect([swept]).records
    write_records(tmp_path / "study.jsonl", records)
    (task,) = arrange(records)
    assert [each.label for each in task.configurations] == ["0011", "encoder"]
    assert [each.label for each in compare_declared(task)] == ["encoder − 0011"]
    assert [each.arm.place for each in records if each.arm is not None] == [0, 1]
    assert column(cost_table(task), "prediction words/s")["encoder"] != ""
    (again,) = arrange(read_records(tmp_path / "study.jsonl"))
    for table in (arm_table, cost_table, learning_table):
        assert table(again) == table(task)
    assert again.compare == task.compare


def test_the_comparisons_of_a_finished_sweep_can_change(swept: Path) -> None:
    """They are no part of its runs: the plan is stored anew, and no run starts."""
    before = (swept / "runs/0011,seed=120/metrics.json").read_bytes()
    sweeps.run(sweeps.plan(sweep_spec(["0011:encoder"])), swept)
    assert (swept / "runs/0011,seed=120/metrics.json").read_bytes() == before
    plan = yaml.safe_load((swept / "sweep.yaml").read_text())
    assert plan["sweep"]["compare"] == ["0011:encoder"]
    sweeps.run(sweeps.plan(sweep_spec(["encoder:0011"])), swept)


def test_comparisons_of_a_sweep_are_checked_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown name is an error at its place in the spec, with the nearest name."""
    spec = {**sweep_spec(["0011:encodr"])}
    with pytest.raises(InvalidSpecError, match="there is no `encodr`"):
        sweeps.plan(spec)
    with pytest.raises(InvalidSpecError, match="no space after the colon: `encoder:0011`"):
        sweeps.plan(sweep_spec([{"encoder": "0011"}]))  # type: ignore[list-item]
    with pytest.raises(InvalidSpecError, match="`encoder:0011` is the same comparison as `0011:encoder`"):
        sweeps.plan(sweep_spec(["0011:encoder", "0011:encoder", "encoder:0011"]))
    (tmp_path / "study.yaml").write_text(json.dumps(spec, indent=1))
    assert main(["check", str(tmp_path / "study.yaml")]) == 2
    message = capsys.readouterr().err
    assert "sweep.compare.0" in message
    assert "study.yaml:" in message
    assert "did you mean `encoder`?" in message


def test_masks_that_look_like_times_stay_names(tmp_path: Path) -> None:
    """`0011:1111` without quotes is text, not a sexagesimal number."""
    spec = yaml.safe_dump(sweep_spec([])).replace(
        "compare: []", "compare: [0011:encoder, 0011:encoder::encoder:0011]"
    )
    (tmp_path / "spec.yaml").write_text(spec)
    plan = sweeps.plan(tmp_path / "spec.yaml")
    assert plan.compare == ("0011:encoder", "0011:encoder::encoder:0011")


def test_records_of_other_runs_have_no_new_keys() -> None:
    """A record without an arm is written as in earlier versions."""
    assert '"arm"' not in study_records.study(["00"], seeds=[1])[0].json_line()
