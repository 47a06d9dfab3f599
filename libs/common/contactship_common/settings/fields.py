"""The one way to declare a setting: its default, every name it answers to, and what the manual says about it."""

from typing import Any

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsGroup(BaseSettings):
    """A group of settings; an empty variable counts as unset, and fields can also be given by their own name."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", populate_by_name=True, frozen=True, hide_input_in_errors=True
    )


def setting(
    default: Any, *names: str, about: str, unit: str = "", danger: str = "", secret: bool = False, **limits: Any
) -> Any:
    """A settings field. The first name is the documented one, the others are older names that still work.

    `unit` and `danger` are printed in the configuration manual; `limits` are Pydantic constraints (`ge`, `le`, …).
    """
    return Field(
        default=default,
        validation_alias=AliasChoices(*names),
        description=about,
        json_schema_extra={"unit": unit, "danger": danger, "secret": secret},
        **limits,
    )
