import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from crossfade.metrics.accuracy import ConfusionMatrix


def random_labels(seed: int, classes: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (3, 20, 30))
    prediction = np.where(rng.random(truth.shape) < 0.4, rng.integers(0, classes, truth.shape), truth)
    truth[rng.random(truth.shape) < 0.1] = 255
    return torch.from_numpy(prediction), torch.from_numpy(truth)


def test_agrees_with_scikit_learn():
    prediction, truth = random_labels(0)
    matrix = ConfusionMatrix(6)
    matrix.update(prediction, truth)
    counted = truth != 255
    p, t = prediction[counted].numpy(), truth[counted].numpy()
    assert np.array_equal(matrix.counts.numpy(), confusion_matrix(t, p, labels=range(6)))
    assert matrix.iou().numpy() == pytest.approx(jaccard_score(t, p, average=None))
    assert matrix.miou() == pytest.approx(jaccard_score(t, p, average="macro"))
    assert matrix.pixel_accuracy() == pytest.approx(accuracy_score(t, p))
    assert matrix.pixels == counted.sum()


def test_parts_merge_into_the_whole():
    prediction, truth = random_labels(1)
    whole, first, second = ConfusionMatrix(6), ConfusionMatrix(6), ConfusionMatrix(6)
    whole.update(prediction, truth)
    first.update(prediction[:1], truth[:1])
    second.update(prediction[1:].to(torch.uint8), truth[1:].to(torch.uint8))
    first.merge(second)
    assert torch.equal(first.counts, whole.counts)


def test_absent_classes_are_nan_and_not_averaged():
    truth = torch.tensor([0, 0, 1, 1])
    prediction = torch.tensor([0, 0, 1, 3])
    matrix = ConfusionMatrix(5)
    matrix.update(prediction, truth)
    assert matrix.iou().tolist()[:2] == [1.0, 0.5]
    assert torch.isnan(matrix.iou()[2:]).all()
    assert matrix.miou() == pytest.approx(0.75)
    assert matrix.iou("either")[3] == 0.0
    assert matrix.miou("either") == pytest.approx(0.5)
    assert matrix.iou("all").tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert matrix.miou("all") == pytest.approx(
        jaccard_score(truth, prediction, labels=range(5), average="macro", zero_division=0)
    )


def test_nothing_counted_is_nan_not_zero():
    matrix = ConfusionMatrix(3)
    matrix.update(torch.zeros(4, dtype=torch.int64), torch.full((4,), 255))
    assert np.isnan(matrix.miou())
    assert np.isnan(matrix.pixel_accuracy())


@pytest.mark.parametrize("prediction, truth", [([0, 7], [0, 1]), ([0, 1], [0, 7]), ([0, 255], [0, 1])])
def test_an_id_outside_the_classes_is_refused(prediction, truth):
    with pytest.raises(ValueError, match=r"outside 0\.\.4"):
        ConfusionMatrix(5).update(torch.tensor(prediction), torch.tensor(truth))


def test_shapes_must_match():
    with pytest.raises(ValueError, match="differ in shape"):
        ConfusionMatrix(5).update(torch.zeros(2, 2), torch.zeros(4))
