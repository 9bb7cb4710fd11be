"""The lineage of a run in MLflow: data sets as inputs, adapters as logged models, source and revision."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.records.files import ADAPTER, RECORD
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.tracking.model_card import card

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST = 36
"""The maximum length of a data set's digest in MLflow."""


def source_tags(record: Record) -> dict[str, str]:
    """Return MLflow's own tags for the program and its revision."""
    revision = record.environment.git_revision
    own = {"mlflow.source.name": f"petlir {record.environment.petlir}", "mlflow.source.type": "LOCAL"}
    dirty = (
        {} if record.environment.git_dirty is None else {"petlir.git_dirty": str(record.environment.git_dirty).lower()}
    )
    return own | dirty | ({"mlflow.source.git.commit": revision} if revision else {})


def log_data(client: MlflowClient, run: str, record: Done) -> None:
    """Log the test sets of a record as inputs of its run, with the digest of their images."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    images = Counter(score.set for score in record.images)
    inputs = [
        DatasetInput(
            Dataset(
                name=name,
                digest=record.digests.data[:DIGEST],
                source_type="petlir",
                source=json.dumps({"task": record.cell.task, "track": record.cell.track}),
                profile=json.dumps({"images": count, "note": record.cell.data_label}),
            ),
            [InputTag("mlflow.data.context", "testing")],
        )
        for name, count in images.items()
    ]
    client.log_inputs(run, inputs)


def log_adapter(client: MlflowClient, experiment: str, run: str, record: Done, folder: Path) -> None:
    """Log the adapter of a cell as a model of its run, with the record and a card."""
    from mlflow.entities import LoggedModelOutput

    if not (folder / ADAPTER).is_file():
        return
    cell = record.cell
    name = re.sub(r"[^\w-]+", "-", f"{cell.backbone} {cell.label} {cell.task} s{cell.seed}").strip("-")
    params = {option: str(value) for option, value in cell.options.items()} | {"steps": str(cell.steps)}
    tags = {"petlir.adapter_sha256": str(record.digests.adapter), "petlir.weights_sha256": record.digests.weights}
    model = client.create_logged_model(experiment, name, run, tags, params, "adapter")
    with tempfile.TemporaryDirectory() as place:
        for file in (ADAPTER, RECORD):
            (Path(place) / file).write_bytes((folder / file).read_bytes())
        (Path(place) / "README.md").write_text(card(record), encoding="utf-8")
        client.log_model_artifacts(model.model_id, place)
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
