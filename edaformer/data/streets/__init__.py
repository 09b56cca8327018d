"""What the drawn street scenes are made of; `edaformer.data.scenes` puts them together.

Reading order: `dice` (randomness), `raster` (shapes in indexed colour), `optics` (camera, light and
the packed canvas), then one file for each kind of thing, then `lens` (what the camera adds).

Everything that decides a pixel is integer arithmetic, so that a seed gives the same bytes on every
machine and with every NumPy.
"""
