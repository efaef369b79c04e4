"""Creation and conversion: what is shared with whom, for how long, and what becomes of odd numbers.

The plain calls are in the op table (rows/create.py, rows/convert.py).
"""

from __future__ import annotations

import array
import gc
import pickle
import warnings
import weakref

import ml_dtypes
import numpy as np
import pytest

import chainrule as torch

ALL = torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8
NOT_FINITE = [float("nan"), float("inf"), -float("inf"), 1e10, -1e10, 300.5, -1.5, -300.0, 2.0**31]


# -- from data -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (np.float64(1.5), torch.float64),
        (np.int32(1), torch.int32),
        (np.bool_(True), torch.bool),
        ([np.float64(1.5)], torch.float64),
        ([np.int32(1), 2], torch.int64),
        ([np.int32(1), np.int16(2)], torch.int32),
        ([np.uint8(1), np.int8(1)], torch.int16),
        ([np.int8(1), True], torch.int8),
        ([np.float32(1), 1.5], torch.float32),
        ([np.complex64(1), 1.0], torch.complex64),
        ([torch.tensor(1.0, dtype=torch.float64), 2], torch.float64),
        ([torch.tensor(1), 2.5], torch.float32),
        ([[torch.tensor(1), 2], [3, 4]], torch.int64),
        ([torch.tensor([1]), torch.tensor([2])], torch.int64),
        ([np.array([1, 2]), np.array([3.0, 4.0])], torch.float64),
        (range(3), torch.int64),
        (memoryview(b"abc"), torch.int64),
        (array.array("f", [1, 2]), torch.float32),
        (np.array([1, 2], np.int16), torch.int16),
    ],
)
def test_dtype_of_numbers_from_elsewhere(data, dtype):
    t = torch.tensor(data)
    assert t.dtype is dtype
    flat = [float(x) for x in np.ravel(np.asarray(t.tolist(), complex).real)]
    assert flat and all(np.isfinite(flat))


def test_values_and_shape_of_nested_tensors():
    t = torch.tensor([[torch.tensor(1.5), 2], [np.float32(3), True]])
    assert t.tolist() == [[1.5, 2.0], [3.0, 1.0]]
    with pytest.raises(TypeError, match="only integer tensors of a single element"):
        torch.tensor([torch.tensor([1, 2]), torch.tensor([3, 4])])
    with pytest.raises(TypeError, match="only integer tensors of a single element"):
        torch.tensor([torch.tensor(1.5)], dtype=torch.int64)


def test_tensor_copies_and_as_tensor_shares():
    a = np.zeros(3)
    copy, shared = torch.tensor(a), torch.as_tensor(a)
    a[0] = 5
    assert copy.tolist() == [0, 0, 0]
    assert shared.tolist() == [5, 0, 0]
    assert torch.as_tensor(shared) is shared
    assert torch.as_tensor(a, dtype=torch.float32).dtype is torch.float32
    assert torch.asarray(a, copy=True).data_ptr() != a.ctypes.data
    assert torch.asarray(a).data_ptr() == a.ctypes.data


def test_a_tensor_of_a_tensor_warns_and_forgets_history():
    x = torch.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        t = torch.tensor(x * 2)
    assert not t.requires_grad
    assert t.is_leaf


def test_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        made = (
            torch.tensor(1.5),
            torch.tensor([1.5]),
            torch.zeros(1),
            torch.arange(2.0),
            torch.eye(1),
            torch.linspace(0, 1, 2),
            torch.full((1,), 1.0),
            torch.tensor([1, 2.5]),
        )
        assert {t.dtype for t in made} == {torch.float64}
        assert torch.tensor(1j).dtype is torch.complex128
    finally:
        torch.set_default_dtype(torch.float32)


def test_ragged_and_strange_data():
    with pytest.raises(ValueError, match=r"expected sequence of length 1 at dim 1 \(got 2\)"):
        torch.tensor([np.array([1]), np.array([2, 3])])
    with pytest.raises(TypeError, match="must be real number, not list"):
        torch.tensor([1.0, [2.0]])
    for data in (object(), [object()], {1, 2}, {1: 2}, torch.float32):
        with pytest.raises(RuntimeError, match="Could not infer dtype of"):
            torch.tensor(data)


# -- NumPy -----------------------------------------------------------------------------------------


def test_numpy_memory_is_shared_both_ways():
    a = np.arange(6.0).reshape(2, 3)
    t = torch.from_numpy(a.T)
    assert t.stride() == (1, 3)
    t[0, 1] = 9
    assert a[1, 0] == 9
    back = t.numpy()
    back[0, 0] = 7
    assert a[0, 0] == 7
    assert t[0, 0] == 7
    assert np.asarray(t).ctypes.data == a.ctypes.data


def test_memory_outlives_whoever_made_it():
    a = np.arange(1000.0)
    alive = weakref.ref(a)
    t = torch.from_numpy(a)
    del a
    gc.collect()
    assert alive() is not None
    assert t.sum() == 499500
    view = t[10:20]
    del t
    gc.collect()
    assert view.tolist() == list(range(10, 20))
    del view
    gc.collect()
    assert alive() is None


def test_numpy_of_a_tensor_with_history():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Use tensor"):
        x.numpy()
    with pytest.raises(RuntimeError, match="Use tensor"):
        np.asarray(x * 2)
    assert x.numpy(force=True).tolist() == [1, 1]


def test_read_only_arrays_warn_and_cannot_be_written():
    a = np.zeros(3)
    a.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        t = torch.from_numpy(a)
    with pytest.raises(RuntimeError, match="read-only"):
        t.add_(1)
    assert a.tolist() == [0, 0, 0]
    with pytest.warns(UserWarning, match="not writable"):
        torch.frombuffer(b"abcd", dtype=torch.int32)


def test_arrays_that_are_no_plain_arrays():
    class Table(np.ndarray):
        pass

    t = torch.from_numpy(np.zeros(3).view(Table))
    assert type(t.numpy()) is np.ndarray
    unpickled = pickle.loads(pickle.dumps(np.zeros(3, np.float32)))
    assert torch.from_numpy(unpickled).numpy().dtype is np.dtype(np.float32)
    field = np.zeros(3, [("a", "f4"), ("b", "i8")])["a"]
    with pytest.raises(ValueError, match="strides not a multiple of the element byte size"):
        torch.from_numpy(np.zeros(3, [("a", "f4"), ("b", "i2")])["a"])
    assert torch.from_numpy(field).stride() == (3,)
    assert torch.from_numpy(np.array(3.0)).shape == ()
    with pytest.raises(TypeError, match="got numpy"):
        torch.from_numpy(np.float32(3))


def test_frombuffer_shares():
    buffer = bytearray(8)
    t = torch.frombuffer(buffer, dtype=torch.int16, offset=2)
    t[0] = 258
    assert buffer[2:4] == b"\x02\x01"
    assert torch.asarray(buffer, dtype=torch.int32).shape == (2,)


# -- DLPack ----------------------------------------------------------------------------------------


def test_dlpack_shares_both_ways():
    x = torch.arange(6.0).reshape(2, 3)
    a = np.from_dlpack(x)
    a[0, 0] = 7
    assert x[0, 0] == 7
    y = torch.from_dlpack(np.arange(3.0))
    y[0] = 5
    assert y.tolist() == [5, 1, 2]
    z = torch.from_dlpack(torch.to_dlpack(x.t()))
    assert z.stride() == (1, 3)
    assert z.data_ptr() == x.data_ptr()
    assert torch.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()


def test_dlpack_keeps_memory_alive():
    y = torch.from_dlpack(torch.arange(1000.0) + 0)
    gc.collect()
    assert y.sum() == 499500
    a = np.from_dlpack(torch.arange(1000.0) + 0)
    gc.collect()
    assert a.sum() == 499500


# -- dtypes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.int64, [-(2**63)] * 3 + [10**10, -(10**10), 300, -1, -300, 2**31]),
        (torch.int32, [-(2**31)] * 5 + [300, -1, -300, -(2**31)]),
        (torch.int16, [0] * 5 + [300, -1, -300, 0]),
        (torch.int8, [0] * 5 + [44, -1, -44, 0]),
        (torch.uint8, [0] * 5 + [44, 255, 212, 0]),
        (torch.bool, [True] * 9),
    ],
)
def test_floats_that_integers_cannot_hold(dtype, expected):
    for source in (torch.float32, torch.float64):
        assert torch.tensor(NOT_FINITE, dtype=source).to(dtype).tolist() == expected
    assert torch.tensor(float("nan")).to(dtype).item() == expected[0]


def test_float64_becomes_half_by_way_of_float32():
    assert torch.tensor([2049.0000001], dtype=torch.float64).half().item() == 2048
    close = torch.tensor([1.00390625 + 2**-40], dtype=torch.float64)
    assert close.bfloat16().item() == 1
    assert torch.tensor([65519.0, 65520.0]).half().tolist() == [65504, float("inf")]


def test_complex_to_real_warns():
    x = torch.tensor([1 + 2j, 3j])
    with pytest.warns(UserWarning, match="discards the imaginary part"):
        assert x.float().tolist() == [1, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert x.bool().tolist() == [True, True]


@pytest.mark.parametrize("dtype", ALL)
def test_python_numbers_of_every_dtype(dtype):
    kind = float if dtype.is_floating_point else int
    t = torch.tensor([[1, 0], [3, 2]]).to(dtype)
    assert t.tolist() == [[1, 0], [3, 2]]
    assert {type(x) for row in t.tolist() for x in row} == {kind}
    assert type(t[1, 0].item()) is kind
    assert type(t[1:, :1].item()) is kind
    assert np.asarray(t).dtype == (ml_dtypes.bfloat16 if dtype is torch.bfloat16 else dtype.name)


def test_to_gives_the_tensor_itself_where_nothing_changes():
    x = torch.ones(2, requires_grad=True)
    same = (
        x.to("cpu"),
        x.to(torch.float32),
        x.to(x),
        x.to(None),
        x.to("cpu", torch.float32),
        x.to(torch.device("cpu"), non_blocking=True),
        x.float(),
        x.cpu(),
        x.contiguous(),
        x.type_as(x),
        x.type("torch.FloatTensor"),
        x.type(torch.FloatTensor),
    )
    assert all(y is x for y in same)
    assert x.to(torch.float32, copy=True) is not x
    assert x.to(torch.float64).grad_fn.name() == "ToCopyBackward0"
    assert x.to(torch.int64).grad_fn is None
    x.to(torch.float64).sum().backward()
    assert x.grad.dtype is torch.float32


# -- memory formats --------------------------------------------------------------------------------


def test_channels_last():
    x = torch.arange(48.0).reshape(2, 3, 4, 2)
    y = x.to(memory_format=torch.channels_last)
    assert y.stride() == (24, 1, 6, 3)
    assert y.tolist() == x.tolist()
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert not y.is_contiguous()
    assert y.to(memory_format=torch.channels_last) is y
    assert y.contiguous().stride() == x.stride()
    assert y.clone().stride() == y.stride()
    assert torch.zeros_like(y).stride() == y.stride()
    assert torch.empty(1, 2, 3, 4, memory_format=torch.channels_last).stride() == (24, 1, 8, 2)
    assert torch.zeros(2, 1, 4, 5).is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match="required rank 4 tensor"):
        torch.ones(2).to(memory_format=torch.channels_last)


def test_copies_keep_the_order_of_dimensions():
    x = torch.arange(24.0).reshape(2, 3, 4)
    assert x.transpose(0, 2).clone().stride() == (1, 4, 12)
    assert x[:, ::2].transpose(0, 2).clone().stride() == (1, 4, 8)
    assert x.transpose(0, 2).double().stride() == (1, 4, 12)
    assert torch.ones(4).expand(3, 4).clone().stride() == (4, 1)
    rows = x[0].t().clone(memory_format=torch.contiguous_format)
    assert rows.stride() == (3, 1)
    assert torch.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
    assert torch.empty_permuted((2, 3, 4), (0, 2, 1)).stride() == (12, 1, 3)


# -- tensor types ----------------------------------------------------------------------------------


def test_tensor_types():
    x = torch.FloatTensor([1, 2])
    assert isinstance(x, torch.FloatTensor)
    assert not isinstance(x, torch.DoubleTensor)
    assert not isinstance(3, torch.FloatTensor)
    assert repr(torch.FloatTensor) == "<class 'torch.FloatTensor'>"
    assert x.type() == "torch.FloatTensor"
    assert torch.LongTensor([1.5, 2]).tolist() == [1, 2]
    assert torch.FloatTensor(x).data_ptr() == x.data_ptr()
    assert torch.FloatTensor(np.array([1, 2])).dtype is torch.float32
    assert torch.Tensor(torch.tensor([1])).dtype is torch.int64
    assert torch.Tensor(2, 3).shape == torch.Tensor(torch.Size([2, 3])).shape == (2, 3)
    assert torch.Tensor([1, 2]).dtype is torch.float32
    assert torch.Tensor().shape == (0,)
    assert x.new([1]).dtype is torch.float32
    torch.set_default_tensor_type(torch.DoubleTensor)
    try:
        assert torch.zeros(1).dtype is torch.float64
    finally:
        torch.set_default_tensor_type("torch.FloatTensor")


# -- out= ------------------------------------------------------------------------------------------


def test_out_of_constructors():
    for make in (
        lambda out: torch.zeros(3, out=out),
        lambda out: torch.full((3,), 2, out=out),
        lambda out: torch.arange(3, out=out),
        lambda out: torch.linspace(0, 1, 3, out=out),
    ):
        out = torch.ones(3, dtype=torch.float64)
        assert make(out) is out
        assert out.dtype is torch.float64
    with pytest.raises(RuntimeError, match="does not match dtype of out parameter"):
        torch.zeros(3, out=torch.ones(3), dtype=torch.int64)


# -- numbers in vectors ----------------------------------------------------------------------------


def test_ranges_round_as_vectors_of_32_bytes():
    """The last elements of the first whole vectors, where rounding the vector's start shows."""
    x = torch.arange(0.1, 30, 0.3)
    starts = np.float32(0.1 + np.arange(0, 96, 8) * 0.3)
    expected = np.float32(starts[:, None].astype(np.float64) + 0.3 * np.arange(8)).ravel()
    assert np.array_equal(x.numpy()[:96], expected)
    assert np.array_equal(x.numpy()[96:], np.float32(0.1 + 0.3 * np.arange(96, len(x))))


def test_lines_are_counted_from_both_ends():
    assert torch.linspace(-3, 10, 7, dtype=torch.int32).tolist() == [-3, 0, 1, 3, 5, 7, 10]
    x = torch.linspace(0.1, 0.7, 100)
    assert x[-1] == torch.tensor(0.7)
    assert torch.linspace(5, 7, 1).tolist() == [5]
