"""Test that the BibTeX lists what a store uses and nothing else."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from petlir import methods
from petlir.benchmark import backbones
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.paper import Paper, read
from petlir.benchmark.plugins import find
from petlir.reports.bibliography import bibliography
from tests.reports.stores import record
from tests.reports.test_compare import store


def test_only_what_was_used_is_cited_and_each_once(tmp_path):
    path = store(tmp_path, record("lora", "sr_x4"), record("lora", "denoise_30"), record("frozen", "sr_x4"))
    text = bibliography(path, find())
    keys = re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE)
    assert len(keys) == len(set(keys)) == 4  # LoRA, IPT, photographs, dead leaves
    assert "Image Processing Transformer" in text
    assert "AdaptFormer" not in text
    assert text.count("{") == text.count("}")


def test_every_backbone_names_its_work():
    plugins = find()
    extra = set() if find_spec("diffusers") else {"sd-turbo", "diffusion-nano"}
    with without_memory():
        missing = [name for name in plugins.backbones.keys() - extra if plugins.build(name).paper is None]
    assert missing == []


@pytest.mark.parametrize("folder", [methods, backbones])
def test_every_entry_of_a_bib_file_is_read(folder):
    file = Path(folder.__file__).with_name("papers.bib")
    assert list(read(file)) == re.findall(r"^@\w+\{([^,]+),", file.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("key", "title", "authors", "venue"),
    [
        ("lian2022scaling", "Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning",
         "Lian et al.", "NeurIPS 2022"),
        ("jie2022convolutional", "Convolutional Bypasses Are Better Vision Transformer Adapters", "Jie and Deng",
         "arXiv 2022"),
        ("benzaken2022bitfit", "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked "
         "Language-models", "Ben Zaken et al.", "ACL 2022"),
    ],
)  # fmt: skip
def test_a_paper_is_read_from_its_entry(key, title, authors, venue):
    found = Paper.from_bib(methods.__file__, key, licence="MIT")
    assert (found.title, found.authors, found.venue, found.licence) == (title, authors, venue, "MIT")


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(PetlirError, match=r"entry of papers.bib 'hu2022lara'; did you mean 'hu2022lora'"):
        Paper.from_bib(methods.__file__, "hu2022lara")


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(PetlirError, match="no finished cell"):
        bibliography(tmp_path, find())
