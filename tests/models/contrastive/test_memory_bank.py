import pytest
import torch
from reference import contrastive as reference
from torch.nn import functional as F

from slowfast.models.contrastive.memory_bank import MemoryBank


def values(count, dim=4):
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(0)), dim=1)


@pytest.mark.parametrize("index", [[0, 3, 2], [5], [1, 1, 1], [4, 0, 4, 2, 0]])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_equals_a_list_with_and_without_duplicates(index, momentum):
    bank = MemoryBank(6, 4, momentum=momentum, seed=0).double()
    new = values(len(index)).double()
    expected = reference.bank(bank.rows.tolist(), index, new.tolist(), momentum)
    bank.update(torch.tensor(index), new)
    torch.testing.assert_close(bank.rows, torch.tensor(expected, dtype=torch.float64))


def test_the_last_valid_occurrence_of_an_index_counts():
    index, new = torch.tensor([2, 2, 2, 0]), values(4)
    bank, expected = (MemoryBank(3, 4, seed=0) for _ in range(2))
    new[2, 0] = float("inf")
    bank.update(index, new, torch.tensor([True, True, True, False]))
    expected.update(index[1:2], new[1:2])
    assert torch.equal(bank.rows, expected.rows)


def test_it_starts_from_the_seed_alone_and_its_rows_keep_length_one():
    bank = MemoryBank(9, 4, seed=3)
    torch.manual_seed(5)
    assert torch.equal(MemoryBank(9, 4, seed=3).rows, bank.rows)
    assert not torch.equal(MemoryBank(9, 4, seed=4).rows, bank.rows)
    bank.update(torch.arange(9), values(9))
    torch.testing.assert_close(bank.rows.norm(dim=1), torch.ones(9))


def test_a_state_dict_holds_everything():
    bank, other = MemoryBank(4, 4, seed=0), MemoryBank(4, 4, seed=1)
    bank.update(torch.arange(4), values(4))
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.rows, bank.rows)


@pytest.mark.parametrize("index", [[0, 4], [-1, 0]])
def test_an_index_beyond_the_bank_is_named_with_the_remedy(index):
    bank = MemoryBank(4, 4, seed=0)
    with pytest.raises(ValueError, match=r"bank has 4 rows\. Give it DatasetInfo\.num_rows"):
        bank.update(torch.tensor(index), values(2))


@pytest.mark.parametrize(
    ("index", "shape", "message"),
    [
        ([0, 1], (2, 3), r"expected \(B,\) and \(B, 4\)"),
        ([[0, 1]], (2, 4), r"got index \(1, 2\)"),
        ([0], (2, 4), r"got rows of shapes \(2, 4\), \(1,\)"),
    ],
)
def test_shapes_are_checked(index, shape, message):
    with pytest.raises(ValueError, match=message):
        MemoryBank(4, 4, seed=0).update(torch.tensor(index), torch.zeros(shape))


def test_impossible_momentum():
    with pytest.raises(ValueError, match=r"momentum: got -0\.1"):
        MemoryBank(4, 4, momentum=-0.1, seed=0)
