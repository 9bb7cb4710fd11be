"""Test the reference page of the methods: it is complete, and lists the sites that a method really trains."""

from __future__ import annotations

from petlir.benchmark.plugins import find
from petlir.methods.lora import LoRA
from petlir.reports.methods_reference import FAMILY, formulas, sites


def test_every_method_has_a_formula_and_no_formula_is_left_over():
    assert formulas().keys() == {name for name in find().methods if FAMILY not in name}


def test_sites_are_those_of_the_network_and_count_every_trained_value():
    """LoRA's published count is rank × (inputs + outputs) for each query and value."""
    found = dict(sites(LoRA, "ipt-nano", find()))
    assert "body.encoder.layers.*.self_attn.query.down" in found
    network = find().build("ipt-nano")
    updated = [site.module for block in network.blocks() for site in block.projections("query", "value")]
    shapes = [module.get_parameter("weight").shape for module in updated]
    assert sum(found.values()) == 4 * sum(sum(shape) for shape in shapes)


def test_a_method_that_does_not_fit_has_no_sites():
    assert not list(sites(LoRA, "nafnet-nano", find()))
