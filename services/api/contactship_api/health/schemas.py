"""Shapes of the health answers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """One thing the service depends on."""

    model_config = ConfigDict(extra="allow")

    status: Literal["up", "down"]
    message: str | None = None


class Status(BaseModel):
    status: Literal["ok", "error"]


class Health(BaseModel):
    status: Literal["ok", "degraded", "error"]
    info: dict[str, Any]
