"""The figure of a stage at two ISR settings: its features, and where each query looks.

Each key is drawn as the cell of pixels that it pools; tokens in a window that pooling drops are in
no key and stay dark. Attention is drawn relative to an even spread over all keys, on one scale for
both settings. Features are the tokens on their three common principal components, as red, green
and blue, in one basis and on one scale for both, so that equal colours are equal features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edaformer.engines.inside.stage import Map, Setting, Size
from edaformer.media.frames import Pixels
from edaformer.media.sheet import Panel, sheet

_HEAT = 0.7  # weight of the heat over the grey picture
_SPREAD = (1, 99)  # percentiles of the features that become 0 and 255
# From black over violet and orange to pale yellow, brighter at every step
_RAMP = np.array([(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10),
                  (252, 255, 164)])  # fmt: skip


@dataclass(frozen=True)
class Query:
    """Where attention is looked at from."""

    title: str
    at: Size  # (y, x), in pixels of the picture as the model sees it


def draw_figure(
    name: str, picture: Pixels, queries: Sequence[Query], padded: Size, settings: Sequence[Setting]
) -> Pixels:
    """Rows: picture and features, then each query with its attention; columns: settings.

    Args:
        name: of the picture.
        picture: uint8 RGB (H, W, 3), as the model sees it.
        queries: those of the settings' attention.
        padded: (H, W) that the maps cover.
        settings: base ISR and the other.
    """
    cells = _cells(picture.shape[:2], padded, settings[0].features.shape[:2])
    pooled = _cells(picture.shape[:2], padded, settings[0].pooled)
    seen = np.s_[: int(cells[0].max()) + 1, : int(cells[1].max()) + 1]  # not the padding
    colours = _colours([made.features[seen] for made in settings])
    rows = [[
        Panel(name, _marked(picture, queries)),
        *(Panel(f"features, ISR {made.isr}", painted[cells])
          for made, painted in zip(settings, colours, strict=True)),
    ]]  # fmt: skip
    for index, query in enumerate(queries):
        relative = [made.attention[index] * made.attention[index].size for made in settings]
        most = max(float(one.max()) for one in relative)
        heats = [_by_token(one / most, made)[pooled]
                 for one, made in zip(relative, settings, strict=True)]  # fmt: skip
        rows.append([
            Panel(query.title, _marked(picture, [query])),
            *(Panel(f"attention to {made.keys[0]}x{made.keys[1]} keys", _heated(picture, heat))
              for made, heat in zip(settings, heats, strict=True)),
        ])  # fmt: skip
    return sheet(rows)


def mean_cosine(first: Map, second: Map) -> float:
    """Between the features of two settings, (rows, columns, channels), mean over tokens."""
    lengths = np.linalg.norm(first, axis=2) * np.linalg.norm(second, axis=2)
    return float(((first * second).sum(axis=2) / np.maximum(lengths, 1e-12)).mean())


def _cells(valid: Size, padded: Size, tokens: Size) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The token that each pixel lies in, as indices that make (H, W, ...) of (rows, columns)."""
    rows, columns = (np.arange(side) * count // whole
                     for side, whole, count in zip(valid, padded, tokens, strict=True))  # fmt: skip
    return rows[:, None], columns[None]


def _by_token(keys: Map, setting: Setting) -> Map:
    """(rows, columns) of keys to those of what they pool; 0 where pooling drops a token."""
    spread = np.zeros(setting.pooled, np.float32)
    repeated = keys.repeat(setting.ratio, axis=0).repeat(setting.ratio, axis=1)
    spread[: repeated.shape[0], : repeated.shape[1]] = repeated
    return spread


def _colours(features: Sequence[Map]) -> list[Pixels]:
    """Feature maps of one shape on their three common principal components, as RGB."""
    tokens = np.stack(features).reshape(len(features) * features[0][..., 0].size, -1)
    centred = tokens - tokens.mean(axis=0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, :-4:-1]  # the largest three first
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), range(3)])
    values = centred @ directions
    low, high = np.percentile(values, _SPREAD, axis=0)
    scaled = np.clip((values - low) / np.maximum(high - low, 1e-12), 0, 1)
    painted = (255 * scaled).astype(np.uint8).reshape(len(features), *features[0].shape[:2], 3)
    return list(painted)


def _heated(picture: Pixels, heat: Map) -> Pixels:
    """Heat of 0 to 1 over the picture in grey."""
    at = np.linspace(0, 1, len(_RAMP))
    ramp = np.stack([np.interp(heat, at, _RAMP[:, channel]) for channel in range(3)], axis=-1)
    grey = Image.fromarray(picture).convert("L").convert("RGB")
    return np.asarray(Image.blend(grey, Image.fromarray(ramp.astype(np.uint8)), _HEAT))


def _marked(picture: Pixels, queries: Sequence[Query]) -> Pixels:
    """The picture with a ring around each query."""
    page = Image.fromarray(picture)
    pen = ImageDraw.Draw(page)
    radius = max(4, min(picture.shape[:2]) // 40)
    for query in queries:
        y, x = query.at
        for more, colour in ((2, "black"), (1, "white"), (-1, "black")):
            reach = radius + more
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), outline=colour, width=2)
    return np.asarray(page)
