"""Image sets from the Hugging Face hub, at a pinned revision, cached in Arrow format by the `datasets` library.

The file `SET.hub` in the data folder contains the location of the image set SET. `hub:OWNER/REPO@REVISION` names a
repository that `datasets` can load (imagefolder, parquet, webdataset); `/SPLIT` or `/CONFIG/SPLIT` follows unless the
split is `train`. For a repository with a loading script, which `datasets` no longer supports, `/ARCHIVE` follows: the
path of a tar or zip file in the repository.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.hub import SCHEME, check_pinned, download, first_line, quiet
from petlir.benchmark.images import tables
from petlir.benchmark.images.reading import SUFFIXES
from petlir.benchmark.images.tables import TableImage

if TYPE_CHECKING:
    from datasets import Dataset

FORM = "hub:OWNER/REPO@REVISION, optionally followed by /SPLIT, /CONFIG/SPLIT or /ARCHIVE"
SOURCE = re.compile(r"hub:(?P<repo>[^/@\s]+/[^/@\s]+)(?:@(?P<revision>[^/\s]*))?(?:/(?P<rest>\S+))?")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
FAULTS = (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError, tarfile.TarError, zipfile.BadZipFile)
"""Exceptions that `datasets` raises besides its own classes, e.g. without a network, or for an unsuitable repository or
cache.
"""


@dataclass(frozen=True)
class HubSet:
    """The location of an image set on the Hugging Face hub.

    Attributes:
        repo: `owner/name` of a dataset repository.
        revision: the commit, 40 hexadecimal digits; a branch is not accepted, since its images could change.
        rest: a split, a configuration and a split, or the path of an archive.
    """

    repo: str
    revision: str
    rest: str = "train"

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}@{self.revision[:12]}/{self.rest}"


def parse(pointer: Path) -> HubSet:
    """Parse a file `SET.hub`.

    Raises:
        PetlirError: the content of the file does not have the expected form, or the revision is not a full commit hash.
    """
    text = pointer.read_text(encoding="utf-8").strip()
    found = SOURCE.fullmatch(text)
    if found is None:
        raise PetlirError(f"{pointer} contains {text[:80]!r}; expected {FORM}")
    check_pinned(found["repo"], found["revision"] or "")
    return HubSet(found["repo"], found["revision"], found["rest"] or "train")


def pictures(source: HubSet) -> list[TableImage]:
    """Return the images of a set on the hub without decoding them; download the set if necessary.

    Raises:
        PetlirError: there is no network, the set cannot be loaded, or the cache was written by another version of
            `datasets`.
    """
    from datasets.exceptions import DatasetsError

    try:
        with quiet():
            rows = _archived(source) if source.rest.endswith(ARCHIVES) else _loaded(source)
    except (*FAULTS, DatasetsError) as error:
        raise PetlirError(_refusal(source, error.__cause__ or error)) from error
    return list(tables.pictures(str(source), rows))


def _loaded(source: HubSet) -> Dataset:
    """Load the repository as a table of `datasets`."""
    from datasets import load_dataset

    *configuration, split = source.rest.split("/")
    return load_dataset(source.repo, *configuration, revision=source.revision, split=split)


def _archived(source: HubSet) -> Dataset:
    """Return the images of an archive as a table, which `datasets` creates once and caches."""
    from datasets import Dataset, Features, Image, Value

    archive = download(source.repo, source.rest, source.revision, repo_type="dataset")
    features = Features({"image": Image(decode=False), "file": Value("string")})
    return Dataset.from_generator(_members, features=features, gen_kwargs={"archive": str(archive)})


def _members(archive: str) -> Iterator[dict[str, object]]:
    """Yield the image files of an archive as rows of a table, sorted by name."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for name in sorted(filter(_is_image, file.namelist())):
                yield {"image": {"bytes": file.read(name), "path": name}, "file": name}
        return
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            content = tar.extractfile(member) if member.isfile() and _is_image(member.name) else None
            if content is not None:
                yield {"image": {"bytes": content.read(), "path": member.name}, "file": member.name}


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _refusal(source: HubSet, error: BaseException) -> str:
    line = f"{source} cannot be loaded: {first_line(error)}"
    if "scripts are no longer supported" in line:
        return (
            f"{line}; name one of the repository's archives instead, "
            f"e.g. {SCHEME}{source.repo}@{source.revision}/data/NAME.tar.gz"
        )
    if isinstance(error, (JSONDecodeError, TypeError, KeyError, AttributeError)) or "Feature type" in line:
        from datasets import __version__, config

        cache = f"its copy in {config.HF_DATASETS_CACHE}"
        return f"{line}; {cache} was not written by datasets {__version__}: delete it"
    return line
