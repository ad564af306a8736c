import numpy as np
import pytest
from sklearn.svm import LinearSVC

from crossfade.metrics.domain_gap import CategoryFeatures, domain_gap, matched, proxy_a_distance, view


def cloud(seed: int, count: int = 200, shift: float = 0.0, size: int = 6) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((count, size)) + shift * np.eye(1, size)).astype(np.float32)


def test_the_same_cloud_cannot_be_told_apart_and_distant_ones_always_can():
    assert proxy_a_distance(cloud(0, 2000), cloud(1, 2000)) < 0.15
    assert proxy_a_distance(cloud(0), cloud(1, shift=30.0)) == 2.0
    between = [proxy_a_distance(cloud(0), cloud(1, shift=s)) for s in (0.5, 1.0, 2.0, 4.0)]
    assert between == sorted(between)


def test_the_error_is_that_of_the_best_line():
    """Two unit Gaussians s apart: no line errs less than Φ(−s/2); a linear SVM on fresh samples errs as much."""
    distance = proxy_a_distance(cloud(0, 1000), cloud(1, 1000, shift=2.0))
    assert distance == pytest.approx(2 * (1 - 2 * 0.158655), abs=0.08)
    side = np.repeat([0, 1], 1000)
    svm = LinearSVC().fit(np.concatenate([cloud(0, 1000), cloud(1, 1000, shift=2.0)]), side)
    error = (svm.predict(np.concatenate([cloud(2, 1000), cloud(3, 1000, shift=2.0)])) != side).mean()
    assert distance == pytest.approx(2 * (1 - 2 * error), abs=0.08)


def test_the_sides_weigh_the_same_and_the_number_is_the_same_again():
    few = proxy_a_distance(cloud(0, 400), cloud(1, 40))
    assert few < 0.5  # a line that says "source" to everything errs in 1 of 11
    assert few == proxy_a_distance(cloud(0, 400), cloud(1, 40))


def test_videos_are_not_both_learned_from_and_tested():
    """Every video has a place of its own: a line that has seen it knows it, one that has not does not."""
    places = np.random.default_rng(5).standard_normal((16, 60)) * 10
    videos = np.repeat(np.arange(8), 20)
    source, target = places[:8][videos] + cloud(0, 160, size=60), places[8:][videos] + cloud(1, 160, size=60)
    assert proxy_a_distance(source, target) == 2.0
    assert proxy_a_distance(source, target, videos, videos) < 1.0


@pytest.mark.parametrize("source, target, groups", [(9, 50, None), (50, 9, None), (50, 50, 1)])
def test_too_little_is_nan(source, target, groups):
    names = None if groups is None else np.zeros(50, np.int64)
    assert np.isnan(proxy_a_distance(cloud(0, source), cloud(1, target), names, names))


def test_features_of_two_networks_are_refused():
    with pytest.raises(ValueError, match="differ in their number of features"):
        proxy_a_distance(cloud(0), cloud(1, size=7))


def test_more_cars_on_one_side_are_no_gap():
    def side(seed: int, cars: int, roads: int) -> CategoryFeatures:
        vectors = np.concatenate([cloud(seed, cars, 20.0), cloud(seed + 1, roads, -20.0)])
        classes = np.repeat([3, 7], [cars, roads])
        return CategoryFeatures(vectors, classes, np.arange(len(classes)))

    many, few = side(0, 150, 50), side(2, 50, 150)
    assert proxy_a_distance(many.vectors, few.vectors) > 0.8
    assert domain_gap(many, few) < 0.4


def test_matched_classes_are_there_equally_often():
    source, target = np.array([0, 0, 0, 1, 2, 2, 5]), np.array([2, 0, 0, 2, 2, 7])
    a, b = matched(source, target)
    assert sorted(source[a]) == sorted(target[b]) == [0, 0, 2, 2]
    assert len(set(a)) == len(set(b)) == 4
    assert [len(part) for part in matched(np.array([1]), np.array([2]))] == [0, 0]


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_the_view_keeps_clusters_apart_and_is_the_same_again(method):
    vectors = np.concatenate([cloud(0, 30), cloud(1, 30) + 5])
    seen = view(vectors, method)
    assert seen.shape == (60, 2)
    assert np.array_equal(seen, view(vectors, method))
    first, second = seen[:30], seen[30:]
    apart = np.linalg.norm(first.mean(0) - second.mean(0))
    assert apart > 2 * max(np.linalg.norm(part - part.mean(0), axis=1).mean() for part in (first, second))
