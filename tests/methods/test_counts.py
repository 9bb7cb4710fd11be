"""The parameter counts that papers print, at the published size of the backbone."""

import re

import pytest
import torch

from benchmark.adaptation import adapt
from benchmark.backbones.ipt import IPT
from benchmark.method import Method
from benchmark.plugins import find

EXACT = {
    "lora[rank=12; alpha=1]": 995_328,
    "adapter[rank=12]": 691_776,
    "adaptformer[rank=24]": 677_952,
    "ssf": 373_248,
    "adaptir[hidden=24]": 697_656,
    "adaptir[hidden=24; ensemble=false]": 692_952,
    "adaptir[hidden=13; ensemble=false]": 369_624,
    "adaptir[hidden=18; ensemble=false]": 515_832,
    "adaptir[hidden=32; ensemble=false]": 933_144,
}
PUBLISHED = [setting for method in find().methods.values() for setting in method.published("ipt")]


def trainable(method: Method) -> int:
    with torch.device("meta"):
        adapted = adapt(IPT(), method, "sr_x4", seed=0)
        return sum(parameter.numel() for parameter in adapted.trainable().values())


@pytest.mark.parametrize("setting", PUBLISHED, ids=lambda setting: setting.method.label)
def test_published_settings_have_the_printed_count(setting):
    """The paper floors thousands, now and then rounds them."""
    assert re.fullmatch(r"\d+[KM]", setting.parameters)
    number, unit = setting.parameters[:-1], setting.parameters[-1]
    if setting.method.tunes_backbone:
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in IPT().tunable(None))
        assert count == 118_892_370
    else:
        count = trainable(setting.method)
        assert count == EXACT[setting.method.label]
    size = {"K": 1e3, "M": 1e6}[unit]
    assert int(number) in (int(count / size), round(count / size))


def test_every_exact_count_belongs_to_a_published_setting():
    assert set(EXACT) == {s.method.label for s in PUBLISHED if not s.method.tunes_backbone}


def test_the_default_of_adaptir_is_the_released_size():
    assert trainable(find().method("adaptir")()) == 697_656


def test_full_fine_tuning_trains_one_head_of_six():
    """The official single-task network, with the queries of all six tasks, without the mean shifts."""
    assert trainable(find().method("full-ft")()) == 115_608_155 + 5 * 147_456 - 24
