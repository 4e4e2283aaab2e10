"""What every section of `penstock.yaml` is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]
#: of a place where data is, such as `eu`
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class Section(BaseModel):
    """A part of the configuration: an unknown key is an error, and nothing changes once it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
