"""Names of experts and neurons, and units in the configuration that no model of the study has."""

from __future__ import annotations

import pytest

from babelscope.study.unit_names import name_unit, parse_unit, rule_units


def problems(units, method="malinen_franti"):
    return list(
        rule_units({
            "experts": {"n_experts": 256, "method": method}, "contexts": {"units": units},
            "models": ["small"], "model_definitions": {"small": {"n_layers": 18}},
        })
    )  # fmt: skip


@pytest.mark.parametrize("name", ["L3E117", "L0N1024"])
def test_a_name_is_read_as_it_is_written(name):
    assert name_unit(*parse_unit(name)) == name


@pytest.mark.parametrize("name", ["", "L3", "E117", "L3X1", "l3e117", "L3E117 ", "L-1E0"])
def test_other_texts_are_no_names(name):
    with pytest.raises(ValueError, match="is no unit"):
        parse_unit(name)


def test_units_beyond_the_experts_or_layers_are_named_with_what_is_allowed():
    assert problems(["L17E255", "L0N99999"]) == []
    (expert, layer) = problems(["L0E256", "L18E0"])
    assert expert == "contexts.units: 'L0E256': experts are 0 to 255"
    assert layer == "contexts.units: 'L18E0': layers of 'small' are 0 to 17"


def test_with_routers_units_are_experts_and_the_model_says_how_many():
    assert problems(["L0E256"], "router") == []
    assert problems(["L0N1"], "router") == [
        "contexts.units: 'L0N1': with experts.method: router neurons are no units"
    ]
