"""A configuration survives JSON whole, and nothing else gets in."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gac.config import Config, ModelConfig, PosteriorConfig, TrainingConfig
from gac.errors import UserError


def any_of(kind):
    """A strategy for a flat config dataclass, from the types of its fields."""
    finite = st.floats(allow_nan=False, allow_infinity=False)
    by_type = {int: st.integers(-(10**9), 10**9), float: finite, bool: st.booleans(), str: st.text()}
    return st.builds(kind, **{field.name: by_type[field.type] for field in dataclasses.fields(kind)})


configs = st.builds(
    Config,
    preset=st.text(),
    seed=st.integers(0, 2**32 - 1),
    model=any_of(ModelConfig),
    posterior=any_of(PosteriorConfig),
    training=any_of(TrainingConfig),
)


@given(configs)
def test_json_round_trip_is_the_identity(config):
    assert Config.from_json(config.to_json()) == config


def changed(change):
    raw = json.loads(Config().to_json())
    change(raw)
    return json.dumps(raw)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda raw: raw["model"].update(embed_dims=3), "embed_dims"),
        (lambda raw: raw["model"].pop("embed_dim"), "embed_dim"),
        (lambda raw: raw.update(posteriors={}), "posteriors"),
        (lambda raw: raw["model"].update(embed_dim="64"), "embed_dim"),
        (lambda raw: raw["model"].update(embed_dim=64.5), "embed_dim"),
        (lambda raw: raw["model"].update(embed_dim=True), "embed_dim"),
        (lambda raw: raw["model"].update(learn_sigma_y=1), "learn_sigma_y"),
        (lambda raw: raw.update(training=None), "training"),
        (lambda raw: raw.update(schema_version=999), "schema_version"),
        (lambda raw: raw.pop("schema_version"), "schema_version"),
    ],
)
def test_anything_else_is_refused_by_name_in_one_line(change, named):
    with pytest.raises(UserError, match=named) as caught:
        Config.from_json(changed(change), "runs/a/config.json")
    assert "runs/a/config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(UserError):
        Config.from_json(text)


def test_an_integer_is_good_for_a_float():
    text = changed(lambda raw: raw["posterior"].update(inner_lr=1))
    value = Config.from_json(text).posterior.inner_lr
    assert value == 1.0
    assert isinstance(value, float)


def test_fields_have_one_name_each_so_that_all_can_be_flags():
    parts = (Config, ModelConfig, PosteriorConfig, TrainingConfig)
    names = [field.name for part in parts for field in dataclasses.fields(part)]
    assert len(names) == len(set(names))
