"""The built-in street: a software renderer of labelled driving video with exact motion, occlusion and depth.

Reading order: `geometry` (meshes) → `vehicles`, `people`, `buildings`, `plants`, `furniture` (what stands in a town) →
`route`, `ground`, `layout`, `scene` (a town) → `raster` (what each pixel sees) → `noise`, `materials`, `shading`
(its colour) → `camera` (the sensor) → `motion` (exact) → `render` (videos) → `dataset` (files).

World: x forward, y left, z up, metres. Camera: x right, y down, z forward. Pixel centres have whole coordinates.
"""
