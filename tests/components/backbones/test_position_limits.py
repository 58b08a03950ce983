"""The number of positions that `sltk check` reads from a config is that of the model itself."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModel

from sltk.families.model_tables import POSITIONS_AFTER_PADDING
from sltk.families.position_limit import first_position, position_limit
from sltk.nn.backbone import PackedBackbone
from tiny_families import FAMILIES

USABLE = {family.name: family for family in FAMILIES if family.support != "none"}


@pytest.mark.parametrize("name", USABLE)
@pytest.mark.parametrize("padding", [0, 3])
def test_check_and_model_agree_on_the_first_position(name: str, padding: int) -> None:
    """In RoBERTa and its kin, positions start after the padding id; the model's own tables show it."""
    config = AutoConfig.for_model(name, **USABLE[name].config(pad_token_id=padding))
    values = config.to_dict()
    with torch.device("meta"):
        backbone = PackedBackbone(AutoModel.from_config(config), None, ())
    assert first_position(values) == backbone.position_offset
    assert position_limit(values) == backbone.positions


def test_each_family_of_the_table_is_tested() -> None:
    """So no entry goes unnoticed after the model of a family has changed."""
    assert POSITIONS_AFTER_PADDING.keys() <= USABLE.keys()


@pytest.mark.parametrize("name", POSITIONS_AFTER_PADDING)
def test_the_padding_id_that_a_config_leaves_out(name: str) -> None:
    """It is that of transformers."""
    config = AutoConfig.for_model(name)
    assert POSITIONS_AFTER_PADDING[name] == config.pad_token_id
