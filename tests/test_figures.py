"""Names in a crowded figure can be read."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from crossfade.report.figures import name_points

FIELD = """
source_only 39.7 52.4 0.7 1.2, source_longer 40.1 53.1 0.4 1.4, adabn 40.1 49.9 0.2 1.0, adabn_half 42.5 53.4 0.4 1.3,
self_training 45.2 58.7 0.7 0.4, stcl 45.9 61.3 0.6 0.1, minent 42.9 55.8 0.6 0.7, advent 43.6 56.8 0.7 0.6,
tps 42.1 67.5 0.9 1.5, da_vsn 43.9 59.0 0.6 0.9, pixmatch 45.0 57.8 0.1 0.9, quadmix 44.6 58.4 0.8 0.9,
mic 44.7 60.5 0.2 0.8, hrda 39.9 55.9 0.4 0.5, mic_hrda 42.5 61.6 0.3 0.3, stcl_mic 45.8 62.0 0.4 1.3,
etc 44.6 60.3 0.4 0.4, etc_off 42.2 53.1 0.2 0.5, etc_source 41.3 55.5 0.3 1.0, etc_distilled 41.6 56.9 1.0 0.9,
psp 41.0 61.4 0.4 2.0, tmanet 37.2 59.2 0.3 1.2, dtern 40.1 53.3 2.0 1.2, oracle 49.3 64.4 0.3 1.1
"""
"""What a whole comparison looks like: name, mIoU, consistency, and the spread of each."""


def test_no_name_covers_another_or_a_point():
    rows = {name: tuple(map(float, values)) for name, *values in (row.split() for row in FIELD.split(","))}
    points = {name: (x, y) for name, (x, y, _, _) in rows.items()}
    figure = Figure(figsize=(6.4, 8.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*zip(*points.values(), strict=True), "o", ms=7)
    axes.margins(0.2, 0.08)
    name_points(axes, points, {name: (dx, dy) for name, (_, _, dx, dy) in rows.items()})
    figure.draw_without_rendering()
    written = {words.get_text(): words.get_window_extent() for words in axes.texts}
    assert set(written) == set(points)
    for one, other in combinations(written, 2):
        assert written[one].intersection(written[one], written[other]) is None, (one, other)
    for name, box in written.items():
        for other, point in points.items():
            assert not box.contains(*axes.transData.transform(point)), (name, other)
        across, along = axes.transData.transform(points[name])
        assert abs(across - (box.x0 + box.x1) / 2) < box.width / 2 + 12
        assert abs(along - (box.y0 + box.y1) / 2) < 45


def test_a_name_that_stands_alone_is_right_above_its_point():
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    name_points(axes, {"alone": (0.5, 0.5)}, {"alone": (0.0, 0.0)})
    (words,) = axes.texts
    x, y = axes.transData.transform((0.5, 0.5))
    box = words.get_window_extent()
    assert box.x0 > x
    assert box.y0 > y
