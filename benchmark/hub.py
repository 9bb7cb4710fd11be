"""Download files of a commit from the Hugging Face hub, and upload folders to the hub."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from petlir.benchmark.errors import PetlirError

SCHEME = "hub:"
FORM = "hub:OWNER/REPO@REVISION/FILE#sha256=HEX"
PARTS = re.compile(
    r"hub:(?P<repo>[^/@#]+/[^/@#]+)(?:@(?P<revision>[^/#]*))?/(?P<file>[^#]+)(?:#sha256=(?P<sha256>.*))?"
)


@dataclass(frozen=True)
class HubFile:
    """A file in a repository on the Hugging Face hub, at a fixed commit.

    Attributes:
        repo: `owner/name`.
        revision: the commit, 40 hexadecimal digits.
        file: the file's path in the repository.
        sha256: SHA-256 of the file's content, 64 hexadecimal digits.
    """

    repo: str
    revision: str
    file: str
    sha256: str

    def download(self) -> Path:
        """Return the path of the file in the hub's cache, downloading it if needed; its content is not checked.

        Raises:
            PetlirError: the file does not exist, or the hub cannot be reached.
        """
        return download(self.repo, self.file, self.revision)


def download(repo: str, file: str, revision: str, repo_type: str = "model") -> Path:
    """Return the path of a repository's file in the hub's cache, downloading it if needed.

    Raises:
        PetlirError: the file does not exist, or the hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        with quiet():
            return Path(hf_hub_download(repo, file, revision=revision, repo_type=repo_type))
    except (OSError, ValueError, RuntimeError, EntryNotFoundError) as error:
        raise PetlirError(f"{file} of {repo} cannot be downloaded: {first_line(error)}") from error


REPOSITORY = re.compile(r"hub:(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[^/#@]+))?")


def repository(source: str) -> tuple[str, str | None]:
    """Return the repository named by `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`, and its revision or None.

    Raises:
        PetlirError: the source is not of the form `hub:OWNER/NAME[@REVISION]`.
    """
    found = REPOSITORY.fullmatch(source)
    if found is None:
        raise PetlirError(f"{source!r} is not understood; expected hub:OWNER/NAME or hub:OWNER/NAME@REVISION")
    return found["repo"], found["revision"]


def download_files(source: str, files: Sequence[str]) -> Path:
    """Return a folder in the hub's cache with `files` of `hub:OWNER/NAME[@REVISION]`, all from the same commit.

    Raises:
        PetlirError: the source is not of the form `hub:OWNER/NAME[@REVISION]`, a file does not exist, or the hub cannot
            be reached.
    """
    repo, revision = repository(source)
    first, *others = files
    folder = download(repo, first, revision or "main").parent  # named after the commit
    for file in others:
        download(repo, file, folder.name)
    return folder


def upload_folder(folder: Path, source: str, message: str) -> str:
    """Upload the files of a folder to the repository `hub:OWNER/NAME`, creating it if needed; return the commit.

    Raises:
        PetlirError: the source is not of the form `hub:OWNER/NAME`, or the hub rejects the files or cannot be reached.
    """
    from huggingface_hub import HfApi

    repo, revision = repository(source)
    if revision is not None:
        raise PetlirError(f"{source!r} names a revision, which cannot be pushed to; expected hub:OWNER/NAME")
    try:
        with quiet():
            api = HfApi()
            api.create_repo(repo, exist_ok=True)
            return str(api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message).oid)
    except (OSError, ValueError, RuntimeError) as error:
        raise PetlirError(f"cannot push to {repo}: {first_line(error)}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the log lines that the hub client writes for every attempt to reach the hub."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def parse(source: str) -> HubFile:
    """Parse a source of the form `hub:OWNER/REPO@REVISION/FILE#sha256=HEX`.

    Raises:
        PetlirError: a component of the source is missing, or its revision or digest is incomplete.
    """
    found = PARTS.fullmatch(source)
    if found is None:
        raise PetlirError(f"source {source!r} is not understood; expected {FORM}")
    file = HubFile(found["repo"], found["revision"] or "", found["file"], found["sha256"] or "")
    check_pinned(file.repo, file.revision)
    if not re.fullmatch("[0-9a-f]{64}", file.sha256):
        raise PetlirError(f"source {source!r} has no complete SHA-256; expected {FORM} with 64 hex digits at the end")
    return file


def check_pinned(repo: str, revision: str) -> None:
    """Reject branches, tags and abbreviated commits: only a full commit hash is immutable."""
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise PetlirError(f"revision {revision!r} of {repo} is not pinned; expected a commit of 40 hex digits")


def first_line(error: BaseException) -> str:
    """Return the first line of an error message."""
    return str(error).strip().partition("\n")[0]
