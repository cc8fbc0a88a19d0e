"""Rendered pictures in matplotlib's axes and in notebooks; matplotlib is imported here only."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from ..requirements import missing, require
from .rendering import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes  # for the types of those who plot


def draw(picture: Picture, axes: Axes | None = None, title: str = "") -> Axes:
    """Draw a picture into axes scaled in um, the origin in the middle, and return them.

    Without ``axes`` into the current ones of pyplot.

    Raises
    ------
    CathodegrainError
        If matplotlib is not installed.
    """
    require("view", "matplotlib", purpose="plots")
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.gca()
    height, width = (picture.pixel_um * n / 2 for n in picture.rgb.shape[:2])
    axes.imshow(picture.rgb, extent=(-width, width, -height, height))
    axes.set(xlabel="µm", ylabel="µm", title=title)
    return axes


def image_tag(picture: Picture) -> str:
    """HTML of a picture, the PNG inside it; nothing without matplotlib."""
    if missing("matplotlib"):
        return ""
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, picture.rgb, format="png")
    data = base64.b64encode(content.getvalue()).decode("ascii")
    height, width = picture.rgb.shape[:2]
    return f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="">'
