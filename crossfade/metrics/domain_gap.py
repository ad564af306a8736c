"""How far apart source and target lie in a network's features: can a straight line tell the two domains?

What is compared are category features: one vector a class and frame, so that one domain showing more cars than the
other is no gap. A small gap is not accuracy: features that tell nothing lie close together too.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

FOLDS = 5
FEWEST = 10
"""Vectors a side, below which nothing is said."""


@dataclass(frozen=True)
class CategoryFeatures:
    """Category features of one domain.

    Attributes:
        vectors: (N, D) float32, the mean feature of one class in one frame.
        classes: (N,) int64, which class.
        groups: (N,) int64, which video, or which stretch of frames where there are few videos; vectors of one group are
            alike, so they are never both learned from and tested.
    """

    vectors: Floats
    classes: Integers
    groups: Integers


def domain_gap(source: CategoryFeatures, target: CategoryFeatures) -> float:
    """Proxy A-distance of two domains' category features, every class equally often on both sides.

    Args:
        source, target: of the same network.

    Returns:
        See `proxy_a_distance`; nan where they share too little.
    """
    a, b = matched(source.classes, target.classes)
    return proxy_a_distance(source.vectors[a], target.vectors[b], source.groups[a], target.groups[b])


def proxy_a_distance(
    source: Floats,
    target: Floats,
    source_groups: Integers | None = None,
    target_groups: Integers | None = None,
    folds: int = FOLDS,
) -> float:
    """Proxy A-distance (Ben-David et al., NIPS 2006): d = 2 (1 − 2ε), at least 0.

    ε is the error of a linear classifier (logistic regression on standardised features) that tells source from target,
    on samples of groups it has not learned from, the two sides weighing the same. The same input gives the same number.

    Args:
        source: (N, D).
        target: (M, D).
        source_groups, target_groups: (N,) and (M,): samples of one group are left out together; None: each on its own.
        folds: parts of which each is left out once; fewer where a side has fewer groups.

    Returns:
        In [0, 2]: 0 = cannot be told apart, 2 = always can; nan with fewer than `FEWEST` samples or 2 groups a side.

    Raises:
        ValueError: the sides differ in D.
    """
    if source.shape[1:] != target.shape[1:]:
        raise ValueError(f"source {source.shape} and target {target.shape} differ in their number of features")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    first = np.arange(len(source)) if source_groups is None else source_groups
    second = np.arange(len(target)) if target_groups is None else target_groups
    parts = min(folds, len(np.unique(first)), len(np.unique(second)))
    if min(len(source), len(target)) < FEWEST or parts < 2:
        return float("nan")
    side = np.repeat([0, 1], [len(source), len(target)])
    groups = np.unique(np.stack([side, np.concatenate([first, second])], 1), axis=0, return_inverse=True)[1].ravel()
    classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    split = StratifiedGroupKFold(parts, shuffle=True, random_state=0)
    values = np.concatenate([source, target]).astype(np.float64)
    said = cross_val_predict(classifier, values, side, groups=groups, cv=split)
    error = ((said[side == 0] != 0).mean() + (said[side == 1] != 1).mean()) / 2
    return max(0.0, float(2 * (1 - 2 * error)))


def matched(source: Integers, target: Integers) -> tuple[Integers, Integers]:
    """Indices into two lists of classes after which every class is there equally often, spread evenly over each list.

    Args:
        source: (N,) class ids.
        target: (M,) class ids.

    Returns:
        Two (P,) arrays; empty where no class is in both.
    """
    left, right = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for k in np.intersect1d(source, target):
        a, b = np.flatnonzero(source == k), np.flatnonzero(target == k)
        count = min(len(a), len(b))
        left.append(a[np.linspace(0, len(a) - 1, count).round().astype(np.int64)])
        right.append(b[np.linspace(0, len(b) - 1, count).round().astype(np.int64)])
    return np.concatenate(left), np.concatenate(right)


def view(vectors: Floats, method: Literal["pca", "tsne"] = "pca") -> Floats:
    """Vectors laid out in the plane, to look at.

    Args:
        vectors: (N, D), N ≥ 3, D ≥ 2; standardised here.
        method: "pca": the two directions of greatest spread; "tsne": neighbours stay neighbours, distances mean little
            (van der Maaten & Hinton, JMLR 2008; started from the PCA, so the same input gives the same view).

    Returns:
        (N, 2) float32.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(vectors.astype(np.float64))
    if method == "pca":
        return np.asarray(PCA(2, svd_solver="full").fit_transform(scaled), np.float32)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    placed = TSNE(2, perplexity=perplexity, init="pca", max_iter=500, random_state=0).fit_transform(scaled)
    return np.asarray(placed, np.float32)
