"""What the configurations of the rivals share: JSON text and back, and the refusal of odd numbers."""

import dataclasses
import json
import math
from abc import ABC
from typing import Any, ClassVar

from gac.config import check_method, strict
from gac.errors import UserError
from gac.json_fields import Fields

SCHEMA_VERSION = 1


class Flat(ABC):
    """A frozen dataclass of numbers and words, of one method."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    method: ClassVar[str]

    def to_json(self) -> str:
        """The configuration as JSON text, with its method and schema version."""
        head = {"schema_version": SCHEMA_VERSION, "method": self.method}
        return json.dumps(head | dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str, where: str = "config.json") -> Any:
        """Read `to_json`'s text strictly.

        Raises:
            UserError: not JSON, another method, another schema, an unknown or missing key, a wrong type.
        """
        raw = dict(Fields.parse(text, where).raw)
        check_method(raw, cls.method, where)
        version = raw.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{where} has schema_version {version!r}, this gac reads {SCHEMA_VERSION} of method "
                f"{cls.method}; use the gac release that wrote the run"
            )
        return strict(cls, raw, where)


def check_numbers(config: Flat, may_be_zero: tuple[str, ...], may_be_negative: tuple[str, ...] = ()) -> None:
    """Refuse a number out of range: all are finite, and above 0 unless named otherwise.

    Raises:
        UserError: the number, and what was expected.
    """
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, bool | str):
            continue
        good = value > 0 or (value == 0 and name in may_be_zero) or name in may_be_negative
        if not (math.isfinite(value) and good):
            least = "0 or more" if name in may_be_zero else "above 0"
            raise UserError(
                f"{name} is {value}, expected a finite number {least}; see gac train --method "
                f"{config.method} --help"
            )


def check_heads(config: Any) -> None:
    """Refuse heads that do not divide the width.

    Raises:
        UserError: they do not.
    """
    if config.embed_dim % config.heads:
        raise UserError(f"heads is {config.heads}, expected a divisor of embed_dim, {config.embed_dim}")
