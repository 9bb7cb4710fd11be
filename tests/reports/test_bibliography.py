"""BibTeX of what was used, and of nothing else."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.errors import PetlirError
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


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(PetlirError, match="no finished cell"):
        bibliography(tmp_path, find())
