import pytest
import torch
from reference import contrastive as reference

from slowfast.models.contrastive.feature_queue import FeatureQueue


def rows(count, dim=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator)


@pytest.mark.parametrize("sizes", [[2, 2, 2], [3, 3, 3, 3], [5], [4, 1], [7, 2], [12], [0, 3]])
def test_equals_a_list(sizes):
    queue = FeatureQueue(5, 3, seed=0)
    start = queue.content().tolist()
    pushes = [rows(size, seed=number) for number, size in enumerate(sizes)]
    for push in pushes:
        queue.push(push)
    expected, pointer = reference.queue(start, [push.tolist() for push in pushes])
    assert queue.content().tolist() == expected
    assert queue.pointer == pointer
    assert queue.filled == min(sum(sizes), 5)


def test_only_valid_and_finite_rows_are_written():
    queue, expected = FeatureQueue(5, 3, seed=0), FeatureQueue(5, 3, seed=0)
    values = rows(4)
    values[2, 1] = float("nan")
    queue.push(values, torch.tensor([True, False, True, True]))
    expected.push(values[[0, 3]])
    assert torch.equal(queue.rows, expected.rows)
    assert queue.pointer == 2
    queue.push(torch.full((2, 3), float("inf")))
    assert torch.equal(queue.rows, expected.rows)


def test_it_starts_from_the_seed_alone_with_rows_of_length_one():
    queue = FeatureQueue(64, 8, seed=1)
    torch.manual_seed(123)
    assert torch.equal(FeatureQueue(64, 8, seed=1).rows, queue.rows)
    assert not torch.equal(FeatureQueue(64, 8, seed=2).rows, queue.rows)
    torch.testing.assert_close(queue.rows.norm(dim=1), torch.ones(64))


def test_a_push_does_not_change_what_a_loss_was_given():
    queue = FeatureQueue(4, 3, seed=0)
    weight = torch.ones(2, 3, requires_grad=True)
    content = queue.content()
    scores = (weight @ content.T).sum()
    before = content.clone()
    queue.push(rows(4))
    scores.backward()
    torch.testing.assert_close(weight.grad, before.sum(dim=0).expand(2, 3))


def test_a_state_dict_holds_everything():
    queue, other = FeatureQueue(5, 3, seed=0), FeatureQueue(5, 3, seed=1)
    queue.push(rows(3))
    other.load_state_dict(queue.state_dict())
    for each in (queue, other):
        each.push(rows(4, seed=1))
    assert all(torch.equal(value, other.state_dict()[n]) for n, value in queue.state_dict().items())


@pytest.mark.parametrize(
    ("values", "valid", "message"),
    [
        (rows(2, 4), None, r"got values \(2, 4\), expected \(B, 3\)"),
        (rows(2)[0], None, r"got values \(3,\), expected \(B, 3\)"),
        (rows(2), torch.ones(2), r"got valid torch\.float32 \(2,\), expected bool"),
        (rows(2), torch.ones(3, dtype=torch.bool), r"expected bool \(2,\)"),
    ],
)
def test_errors(values, valid, message):
    with pytest.raises(ValueError, match=message):
        FeatureQueue(5, 3, seed=0).push(values, valid)


def test_an_empty_queue_is_refused():
    with pytest.raises(ValueError, match="length: got 0"):
        FeatureQueue(0, 3, seed=0)
