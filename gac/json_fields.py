"""JSON that people may have edited or lost parts of: its fields by the kind that they must have."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gac.errors import UserError


def read_text(path: Path) -> str:
    """A file's text; bytes that are no UTF-8 become marks, which JSON then refuses or shows."""
    if not path.is_file():
        raise UserError(
            f"{path.parent} has no {path.name}, so it is no whole run; train again or give another folder"
        )
    return path.read_text(encoding="utf-8", errors="replace")


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Fields:
    """A JSON object whose fields are taken out by the kind that they must have, or refused in one line."""

    raw: Mapping[str, Any]
    where: str

    @classmethod
    def parse(cls, text: str, where: str) -> "Fields":
        try:
            raw = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{where} is not JSON ({error}); restore the file or make it again") from None
        if not isinstance(raw, dict):
            raise UserError(f"{where} holds {type(raw).__name__}, expected an object; restore the file")
        return cls(raw, where)

    def _refuse(self, key: str, expected: str) -> UserError:
        if key not in self.raw:
            return UserError(f"{self.where} has no {key}, expected {expected}; make the file again")
        value = re.sub(r"\s+", " ", repr(self.raw[key]))
        shown = value if len(value) <= 60 else value[:57] + "..."
        return UserError(f"{self.where}: {key} is {shown}, expected {expected}; make the file again")

    def words(self, key: str) -> str:
        value = self.raw.get(key)
        if not isinstance(value, str) or not value:
            raise self._refuse(key, "text")
        return value

    def maybe_words(self, key: str) -> str | None:
        return None if self.raw.get(key) is None else self.words(key)

    def number(self, key: str) -> float:
        value = self.raw.get(key)
        if not is_number(value) or not math.isfinite(value):  # type: ignore[arg-type]
            raise self._refuse(key, "a finite number")
        return float(value)  # type: ignore[arg-type]

    def maybe_number(self, key: str) -> float | None:
        return None if self.raw.get(key) is None else self.number(key)

    def whole(self, key: str) -> int:
        value = self.raw.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._refuse(key, "a whole number")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        value = self.raw.get(key)
        if not isinstance(value, list) or not all(is_number(item) and math.isfinite(item) for item in value):
            raise self._refuse(key, "a list of finite numbers")
        return tuple(map(float, value))

    def table(self, key: str, *, holes: bool = False) -> tuple[tuple[Any, ...], ...]:
        """Lists of finite numbers, or of numbers and nulls, in a list."""
        value = self.raw.get(key)
        rows = value if isinstance(value, list) and all(isinstance(row, list) for row in value) else None
        if rows is None or not all(
            (holes and item is None) or (is_number(item) and math.isfinite(item))
            for row in rows
            for item in row
        ):
            raise self._refuse(key, "lists of finite numbers in a list")
        return tuple(tuple(None if item is None else float(item) for item in row) for row in rows)

    def maybe_object(self, key: str) -> Mapping[str, Any] | None:
        value = self.raw.get(key)
        if value is not None and not isinstance(value, dict):
            raise self._refuse(key, "an object")
        return value

    def versions(self, key: str) -> Mapping[str, str]:
        value = self.raw.get(key)
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self._refuse(key, "an object of version texts")
        return dict(value)
