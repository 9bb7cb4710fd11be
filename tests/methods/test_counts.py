"""Test the parameter counts that papers print, at the published size of the backbone."""

import re

import pytest
import torch

from petlir.benchmark.method import Method, Published
from petlir.benchmark.plugins import find
from petlir.benchmark.training.adaptation import adapt

HEADS = {"ipt": "sr_x4", "edt-b": "sr_x4", "restormer": "restore"}
"""The backbones for which papers report counts, and the head with which they are counted."""
EXACT = {
    "ipt": {
        "full-ft": 118_892_370,
        "lora[rank=12; alpha=1]": 995_328,
        "adapter[rank=12]": 691_776,
        "adaptformer[rank=24]": 677_952,
        "ssf": 373_248,
        "adaptir[hidden=24]": 697_656,
        "adaptir[hidden=24; ensemble=false]": 692_952,
        "adaptir[hidden=13; ensemble=false]": 369_624,
        "adaptir[hidden=18; ensemble=false]": 515_832,
        "adaptir[hidden=32; ensemble=false]": 933_144,
        "adaptir[hidden=24; branches=local]": 680_064,
        "adaptir[hidden=24; branches=local+frequency]": 682_368,
        "adaptir[hidden=24; ensemble=false; branches=local+frequency]": 677_664,
        "adaptir[hidden=24; dense=local]": 757_272,
        "adaptir[hidden=24; dense=frequency]": 724_152,
        "adaptir[hidden=24; branches=local+frequency; dense=local+frequency]": 768_480,
        "moe": 695_520,
        "vpt[tokens=64]": 884_736,
        "fact[rank=43]": 537_672,
    },
    "edt-b": {
        "full-ft": 11_627_067,
        "lora[rank=10; alpha=1]": 259_200,
        "lora[rank=6; alpha=1]": 155_520,
        "adapter[rank=7]": 194_904,
        "adapter[rank=6]": 168_912,
        "adaptformer[rank=12]": 162_432,
        "ssf": 117_360,
        "adaptir[hidden=12; reduction=4]": 173_412,
        "adaptir[hidden=12; ensemble=false; reduction=4]": 169_812,
        "vpt[tokens=48]": 311_040,
        "fact[rank=24; out=true]": 174_528,
        "fact[form=tk; rank=52; out=true]": 174_304,
    },
    "restormer": {
        "adair[rank=62]": 1_906_128,
    },
}
PUBLISHED = [
    (backbone, setting)
    for backbone in HEADS
    for method in find().methods.values()
    for setting in method.published(backbone)
]


def trainable(method: Method, backbone: str = "ipt") -> int:
    with torch.device("meta"):
        adapted = adapt(find().build(backbone), method, HEADS[backbone], seed=0)
        return sum(parameter.numel() for parameter in adapted.trainable().values())


def prints(setting: Published, count: int) -> bool:
    """Return whether the paper's printed number stands for `count`; papers round down, or occasionally to nearest."""
    assert re.fullmatch(r"\d+(\.\d)?[KM]", setting.parameters)
    number, unit = setting.parameters[:-1], setting.parameters[-1]
    last_digit = {"K": 1e3, "M": 1e6}[unit] / 10 ** len(number.partition(".")[2])
    return int(number.replace(".", "")) in (int(count / last_digit), round(count / last_digit))


@pytest.mark.parametrize(("backbone", "setting"), PUBLISHED, ids=lambda value: getattr(value, "parameters", value))
def test_published_settings_have_the_printed_count(backbone, setting):
    """If petlir's count does not round to the printed one, the published setting must state petlir's own count."""
    if setting.method.tunes_backbone:
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in find().build(backbone).tunable(None))
    else:
        count = trainable(setting.method, backbone)
    assert count == EXACT[backbone][setting.method.label]
    assert setting.ours == (None if prints(setting, count) else count)


@pytest.mark.parametrize("backbone", HEADS)
def test_every_exact_count_belongs_to_a_published_setting(backbone):
    assert set(EXACT[backbone]) == {setting.method.label for on, setting in PUBLISHED if on == backbone}


def test_the_default_of_adaptir_is_the_released_size():
    assert trainable(find().method("adaptir")()) == 697_656


def test_full_fine_tuning_trains_one_head_of_six():
    """The count is that of the official single-task network with the queries of all six tasks, but no mean shifts."""
    assert trainable(find().method("full-ft")()) == 115_608_155 + 5 * 147_456 - 24
