from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.files import ADAPTER, RECORD
from petlir.benchmark.tracking import entries
from petlir.benchmark.tracking.entries import escaped, metrics
from petlir.benchmark.tracking.mirror import NOWHERE, Mirror
from petlir.benchmark.tracking.tracker import NotTaken, Tracker, database, default_uri
from petlir.benchmark.writing import write_json
from tests.helpers.engine import command
from tests.helpers.samples import KEY, failed, folder_of, record, score, typed

pytestmark = pytest.mark.skipif(find_spec("mlflow") is None, reason="no MLflow")  # slow to import


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def tracker(store: Path) -> Tracker:
    return Tracker(default_uri(store), store)


def runs(uri: str):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name("petlir demo").experiment_id])
    return client, [run for run in found if "petlir.seeds_of" not in run.data.tags]


def test_a_record_is_one_run_with_its_tags_params_means_and_curve(tracker):
    tracker.mirror(typed(record()))
    client, (run,) = runs(tracker.uri)
    assert run.info.run_name == "ipt-nano lora[rank=8] sr_x4 s0" and run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 7000
    assert {"petlir.key": KEY, "petlir.method": "lora", "petlir.seed": "0", "petlir.state": "done"}.items() <= (
        run.data.tags.items()
    )
    assert {"option.rank": "8", "learning_rate": "0.003", "steps": "40"}.items() <= run.data.params.items()
    assert run.data.metrics["photographs/y-crop4:tiles-48/psnr"] == 28.0
    assert run.data.metrics["costs/memory/weights"] == 4
    losses, validation = (
        client.get_metric_history(run.info.run_id, f"curve/{name}") for name in ("loss", "validation_psnr")
    )
    assert [(point.step, point.value) for point in losses] == [(20, 0.05), (40, 0.03)]
    assert [(point.step, point.value) for point in validation] == [(40, 22.6)]


def test_the_same_record_again_is_not_repeated_and_a_newer_one_takes_its_place(tracker, store):
    tracker.mirror(typed(record()))
    Tracker(tracker.uri, store).mirror(typed(record()))
    _, (before,) = runs(tracker.uri)
    tracker.mirror(typed(failed(finished="2026-11-21T10:00:00+00:00")))
    _, (after,) = runs(tracker.uri)
    assert (after.info.status, after.data.tags["petlir.reason"]) == ("FAILED", "NaN in training at step 3")
    assert before.info.run_id != after.info.run_id


def test_the_seeds_of_a_cell_are_nested_in_one_run_also_by_a_later_process(tracker, store):
    for number, seed in enumerate((7, 8)):
        cell = record()["cell"] | {"seed": seed, "task": "nested"}
        Tracker(tracker.uri, store).mirror(typed(record(key=f"{number + 2000:064x}", cell=cell)))
    client, found = runs(tracker.uri)
    nested = [run for run in found if run.data.tags["petlir.task"] == "nested"]
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in nested}
    assert sorted(run.data.tags["petlir.seed"] for run in nested) == ["7", "8"]
    assert client.get_run(parent).data.tags["petlir.task"] == "nested"


def test_adapter_record_card_and_an_image_of_each_set_go_with_it(tmp_path):
    one = record(key="f" * 64)
    folder = folder_of(tmp_path, one)
    write_json(folder / RECORD, one)
    for name in (ADAPTER, "restored/photographs/a.png", "restored/photographs/b.png", "restored/leaves-test/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    tracker = Tracker(default_uri(tmp_path), tmp_path)
    tracker.mirror(typed(one))
    client, (run,) = runs(tracker.uri)
    listed = {path.path for path in client.list_artifacts(run.info.run_id)}
    assert listed == {RECORD, ADAPTER, "restored"}
    files = sorted(p.name for p in (tmp_path / "mlflow-artifacts").rglob("*.png"))
    assert files == ["a.png", "c.png"]
    assert "| photographs | y-crop4@tiles-48 |" in run.data.tags["mlflow.note.content"]


def test_runs_compare_by_short_names_and_the_run_above_has_mean_and_spread(tmp_path):
    """The frozen network is mirrored after three seeds of a method; their gains over it are logged then."""
    tracker = Tracker(default_uri(tmp_path), tmp_path)
    for seed, psnr in enumerate((27.0, 28.0, 30.0)):
        scores = [score("a", psnr, 0.8), score("b", psnr + 2, 0.9), score("c", "inf", 1.0)]
        tracker.mirror(typed(record(key=f"{seed:064x}", cell=record()["cell"] | {"seed": seed}, scores=scores)))
    still = record()["cell"] | {"method": "frozen", "label": "frozen", "options": {}, "regime": "none", "steps": 0}
    tracker.mirror(typed(record(key="9" * 64, cell=still, scores=[score("a", 26.0, 0.7), score("b", 26.5, 0.7)])))
    client, found = runs(tracker.uri)
    by_seed = {run.data.tags["petlir.key"]: run.data.metrics for run in found}
    assert [by_seed[f"{seed:064x}"]["psnr"] for seed in range(3)] == [28.0, 29.0, 31.0]
    assert by_seed[f"{0:064x}"]["gain_over_frozen"] == pytest.approx((27 - 26 + 29 - 26.5) / 2)
    assert "gain_over_frozen" not in by_seed["9" * 64] and by_seed["9" * 64]["psnr"] == 26.25
    nested = next(run for run in found if run.data.tags["petlir.seed"] == "1")
    above = client.get_run(nested.data.tags["mlflow.parentRunId"]).data.metrics
    assert (above["psnr"], above["seeds"]) == (pytest.approx(88 / 3), 3)
    assert above["psnr_std"] == pytest.approx(np.std([28, 29, 31], ddof=1))
    assert above["gain_over_frozen"] == pytest.approx(88 / 3 - 26.25)


def test_data_sets_adapters_and_the_revision_are_logged(tmp_path):
    environment = record()["environment"] | {"git_revision": "a" * 40, "git_dirty": False}
    one = record(environment=environment)
    folder = folder_of(tmp_path, one)
    write_json(folder / RECORD, one)
    (folder / ADAPTER).write_bytes(b"weights")
    tracker = Tracker(default_uri(tmp_path), tmp_path)
    tracker.mirror(typed(one))
    client, (run,) = runs(tracker.uri)
    assert run.data.tags["mlflow.source.git.commit"] == "a" * 40
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("photographs", "f" * 36)
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.name, model.params["rank"], str(model.status)) == ("ipt-nano-lora-rank-8-sr_x4-s0", "8", "READY")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "mlflow-artifacts").rglob(f"*{ADAPTER}")}
    assert kept == {ADAPTER: b"weights"}


def test_infinite_scores_are_left_out_of_the_mean():
    found = {
        name: value for name, value, _ in metrics(typed(record(scores=[score("a", "inf", 1.0), score("b", 30.0, 0.5)])))
    }
    assert (found["photographs/y-crop4:tiles-48/psnr"], found["photographs/y-crop4:tiles-48/ssim"]) == (30.0, 0.5)
    only_infinite = metrics(typed(record(scores=[score("a", "inf", 1.0)])))
    assert "photographs/y-crop4:tiles-48/psnr" not in {name for name, _, _ in only_infinite}


def test_the_mirror_drains_and_nothing_lands_in_the_working_folder(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    warnings: list[str] = []
    mirror = Mirror(default_uri(store), warnings.append, store)
    for number in range(5):
        mirror.put(typed(record(key=f"{number + 1000:064x}")))
    mirror.close()
    keys = {run.data.tags["petlir.key"] for run in runs(default_uri(store))[1]}
    assert {f"{number + 1000:064x}" for number in range(5)} <= keys
    assert not warnings and not list(tmp_path.iterdir())


@pytest.mark.parametrize("uri", ["sqlite:////proc/nowhere/mlflow.db", "http://127.0.0.1:9", "nonsense://x"])
def test_a_lost_server_is_one_warning(uri, tmp_path):
    with pytest.raises(PetlirError, match="cannot be written to") as raised:
        Tracker(uri, tmp_path)
    assert "\n" not in str(raised.value)
    warnings: list[str] = []
    mirror = Mirror(uri, warnings.append, tmp_path)
    for number in range(3):
        mirror.put(typed(record(key=f"{number:064x}")))
    mirror.close()
    assert len(warnings) == 1 and uri in warnings[0]


NAMES = ["photos (2)", "photos [2]", "100% #1?", "a, b + c", "日本 ünï", "a/b...c", "x" * 300, "y@z"]


def of_set(name: str, number: int):
    scores = [{**score("a", 20.0 + number, 0.5), "set": name}]
    return record(key=f"{number + 3000:064x}", scores=scores, cell=record()["cell"] | {"seed": number, "task": "names"})


def test_every_name_is_taken_and_names_stay_different(tracker):
    for number, name in enumerate(NAMES):
        tracker.mirror(typed(of_set(name, number)))
    named = [run for run in runs(tracker.uri)[1] if run.data.tags["petlir.task"] == "names"]
    found = {int(run.data.tags["petlir.seed"]): run.data.metrics for run in named}
    metric = {number: {key for key in found[number] if key.endswith("/psnr")} for number in range(len(NAMES))}
    assert all(len(names) == 1 for names in metric.values())
    assert len(set.union(*metric.values())) == len(NAMES)
    assert all(found[number][name] == 20.0 + number for number, (name,) in metric.items())


def test_names_that_mlflow_takes_stay_as_they_are():
    for name in ("leaves-test", "a b/c_d.e", "日本", "y-crop4"):
        assert escaped(name) == name
    assert escaped("y-crop4@tiles-48") == "y-crop4:tiles-48" != escaped("y-crop4:tiles-48")


def test_a_record_that_is_not_taken_does_not_stop_the_others(tracker, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(entries, "escaped", lambda name: name.replace("@", ":"))
    for number, name in enumerate(["good", "bad (1)", "also good"], 20):
        plain = of_set(name, number)
        write_json(folder_of(tmp_path, plain) / RECORD, plain)
    code, out, err = command(capsys, "sync", "--store", tmp_path, "--mlflow-uri", tracker.uri)
    assert (code, out.split(" in ")[0]) == (1, "2 records")
    assert len(err.splitlines()) == 1 and "names · seed 21" in err and "bad (1)" in err
    warnings: list[str] = []
    mirror = Mirror(tracker.uri, warnings.append, tmp_path)
    for number, name in enumerate(["bad (1)", "last"]):
        mirror.put(typed(of_set(name, number + 30)))
    mirror.close()
    assert len(warnings) == 1 and f"{3031:064x}" in {run.data.tags["petlir.key"] for run in runs(tracker.uri)[1]}
    with pytest.raises(NotTaken):
        Tracker(tracker.uri, tmp_path).mirror(typed(of_set("bad (1)", 40)))


def test_the_database_is_in_the_store_whatever_its_name_and_two_runners_create_it(tmp_path):
    store = tmp_path / "a%20b #1? 100%"
    uri = default_uri(store)
    assert database(uri) == store / "mlflow.db"
    records = [record(key=f"{seed:064x}", cell=record()["cell"] | {"seed": seed, "label": "it's"}) for seed in range(3)]

    def run_all(tracker: Tracker) -> None:
        for each in records:
            tracker.mirror(typed(each))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run_all, pool.map(lambda _: Tracker(uri, store), range(2))))
    assert [path.name for path in tmp_path.iterdir()] == [store.name]
    assert sorted(run.data.tags["petlir.key"] for run in runs(uri)[1]) == [each["key"] for each in records]
    assert len({run.data.tags["mlflow.parentRunId"] for run in runs(uri)[1]}) == 1


def test_no_mirror(tmp_path):
    warnings: list[str] = []
    mirror = Mirror(NOWHERE, warnings.append, tmp_path)
    mirror.put(typed(record()))
    mirror.close()
    assert not warnings and not list(tmp_path.iterdir())
