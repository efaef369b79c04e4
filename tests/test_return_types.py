"""The named tuples of functions with several results."""

from __future__ import annotations

import pickle

import pytest

import chainrule
from chainrule import return_types


def test_prints_as_torch():
    result = chainrule.tensor([[1.0, 5.0], [7.0, 0.0]]).max(1)
    assert (
        repr(result) == "torch.return_types.max(\nvalues=tensor([5., 7.]),\nindices=tensor([1, 0]))"
    )


def test_is_a_tuple_with_names():
    result = chainrule.tensor([3.0, 1.0, 2.0]).sort()
    values, indices = result
    assert values is result.values and indices is result.indices is result[1]
    assert isinstance(result, tuple) and type(result[:1]) is tuple
    assert result.n_fields == result.n_sequence_fields == 2


def test_pickles():
    result = pickle.loads(pickle.dumps(chainrule.tensor([3.0, 1.0]).aminmax()))
    assert type(result) is return_types.aminmax
    assert (result.min.item(), result.max.item()) == (1.0, 3.0)


def test_is_made_from_a_sequence():
    assert return_types.topk((1, 2)).indices == 2
    with pytest.raises(TypeError, match=r"takes a 2-sequence \(3-sequence given\)"):
        return_types.topk((1, 2, 3))
    with pytest.raises(TypeError, match="constructor requires a sequence"):
        return_types.topk(1)


def test_several_results_go_to_out():
    x = chainrule.tensor([[1.0, 5.0], [7.0, 0.0]])
    values, indices = chainrule.empty(0), chainrule.empty(0, dtype=chainrule.int64)
    result = chainrule.max(x, 1, out=(values, indices))
    assert result.values is values and values.tolist() == [5.0, 7.0]
    assert result.indices is indices and indices.tolist() == [1, 0]
