"""What every section of a config has in common, and the kinds of values in it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


FilledString: TypeAlias = Annotated[str, Field(min_length=1)]
Paths: TypeAlias = Annotated[
    tuple[FilledString, ...], Field(min_length=1), BeforeValidator(_as_list)
]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
BatchNormMode: TypeAlias = Literal["frozen", "shared", "per_domain"]
Polarity: TypeAlias = Literal["auto", "dark_on_light", "light_on_dark"]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=False,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _yes_is_no_number(cls, raw: object) -> object:
        """Else ``freeze: true`` would mean one stage, and ``steps: true`` one step."""
        for name, value in raw.items() if isinstance(raw, dict) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None and field.annotation is not bool:
                raise ValueError(f"{name} is neither true nor false; found {str(value).lower()}")
        return raw
