"""Packing of a store's finished cells into one archive."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import Plugins
from petlir.benchmark.publishing.adapters import check_file
from petlir.benchmark.publishing.archive import DAMAGED, MANIFEST, pack
from petlir.benchmark.publishing.manifest import described
from petlir.benchmark.publishing.tampering import Tampered
from petlir.benchmark.records.files import ADAPTER, RECORD, read_record
from petlir.benchmark.records.json_files import read_json
from petlir.benchmark.records.schema import Done
from petlir.benchmark.runs import plugin_sources
from petlir.benchmark.store import Store
from petlir.benchmark.weights.sources import sha256


def submit(
    store: Path, out: Path, by: str, tuning: str | None, used_test_data: bool, plugins: Plugins | None = None
) -> int:
    """Write an archive of all finished cells; return the number of cells.

    Args:
        store: the folder of the records.
        out: the archive to write.
        by: name of the submitter.
        tuning: how learning rates and options were chosen, and with how many trials, or None to describe the choice
            from the records.
        used_test_data: whether any choice used test data.
        plugins: plugins whose source files are packed if the store lacks them.

    Raises:
        PetlirError: `out` exists and is not an archive of results, the store holds no finished cell, a cell's adapter
            does not match its record, a trial is damaged, or the source of a plugin is missing; nothing was written.
    """
    _refuse_other(out)
    done = {path.parent: record for path in Store(store).files() if isinstance(record := read_record(path), Done)}
    if not done:
        raise PetlirError(f"store {store} holds no finished cell; run `petlir run --store {store}` first")
    for folder, record in done.items():
        try:
            check_file(folder, record)
        except Tampered as error:
            raise PetlirError(f"{folder}: {error}; run the cell again, or remove it") from error
    files = {path.relative_to(store).as_posix(): path for path in (*_files(list(done)), *_trials(store, done))}
    files |= _sources(store, done, plugins)
    digests = {name: sha256(path) for name, path in files.items()}
    submission = described(by, tuning or _tuning(done), used_test_data, digests)
    packed: dict[str, Path | bytes] = {**files, MANIFEST: submission.model_dump_json(indent=1).encode()}
    pack(packed, out)
    return len(done)


def _refuse_other(out: Path) -> None:
    """Raise PetlirError if `out` exists and is not an archive of results."""
    if out.is_dir():
        raise PetlirError(f"{out} is a folder; expected the archive to write, e.g. results.zip")
    if not out.exists():
        return
    try:
        with zipfile.ZipFile(out) as archive:
            ours = MANIFEST in archive.namelist()
    except DAMAGED:
        ours = False
    if not ours:
        raise PetlirError(f"{out} exists and is not an archive made by `petlir submit`; name another file")


def _files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield folder / RECORD
        if (folder / ADAPTER).exists():
            yield folder / ADAPTER
        yield from sorted(folder.glob("restored*/*/**/*.png"))


def _trials(store: Path, done: Mapping[Path, Done]) -> Iterator[Path]:
    """Yield the files of the cells' learning-rate trials; raise PetlirError if a trial is damaged."""
    tuned = {_named(vars(record.cell)) for record in done.values() if record.cell.regime == "tuned"}
    for path in sorted(store.glob("tuning/**/*.json")):
        try:
            trial_of = _named(read_json(path)["cell"])
        except (ValueError, TypeError, KeyError) as error:
            raise PetlirError(f"trial {path} is damaged: {error!r}; remove the file to leave the trial out") from error
        if trial_of in tuned:
            yield path


def _named(cell: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(cell[name] for name in ("backbone", "label", "task", "track"))


def _sources(store: Path, done: Mapping[Path, Done], plugins: Plugins | None) -> dict[str, Path]:
    """Return the source files of the cells' plugins by their names in the archive."""
    known = plugin_sources.stored(store) | (plugin_sources.sources(plugins) if plugins else {})
    found = {}
    for record in done.values():
        for digest in plugin_sources.outside(record.key_components.get("plugin", "")):
            if digest not in known:
                raise PetlirError(
                    f"{record.title}: the source of its plugin is not in {store}; name its file with --plugin"
                )
            found[f"{plugin_sources.FOLDER}/{digest}/{known[digest].name}"] = known[digest]
    return found


def _tuning(done: Mapping[Path, Done]) -> str:
    """Return a description of how learning rates were chosen, according to the records."""
    said = {
        "tuned": "learning rates by `petlir tune`, the same grid for every method",
        "paper": "AdamW at 1e-4, nothing tuned",
        "none": "nothing trained",
    }
    regimes = {record.cell.regime for record in done.values()}
    return "; ".join(said[regime] for regime in sorted(regimes, reverse=True))
