"""Saving and loading: everything survives, shared memory stays shared, and a file runs no code.

`tests/golden/torch_*.pt` were written by torch (see tools/golden_nn.py).
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import random
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest

import chainrule as torch
from chainrule.serialization import add_safe_globals, load, safe_globals, safetensors, save
from chainrule.serialization.machine import HANDLERS

GOLDEN = Path(__file__).parent / "golden"


def everything(torch):
    """An object with all that a file can hold, made with either library."""
    w = torch.arange(12.0).reshape(3, 4)
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "kept"
    dtypes = (
        "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128"
    )
    state = OrderedDict(weight=torch.zeros(2))
    state._metadata = OrderedDict({"": {"version": 2}})
    return {
        "whole": w,
        "view": w[1:, ::2],
        "turned": w.t(),
        "stretched": torch.ones(1).expand(3),
        "types": [torch.tensor([0, 1, 3]).to(getattr(torch, d)) for d in dtypes.split()],
        "complex": torch.tensor([1 + 2j]),
        "number": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": parameter,
        "again": parameter,
        "buffer": torch.nn.Buffer(torch.ones(1)),
        "leaf": torch.ones(2, requires_grad=True),
        "state": state,
        "plain": [1, 10**30, "x", (2.5, None, True), {"k": b"bytes", 3: {1}}, 2j, bytearray(b"b")],
        "counter": Counter("abca"),
        "many": list(range(1200)),
        "dtype": torch.float16,
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
    }


def through(obj, **options):
    stream = io.BytesIO()
    save(obj, stream)
    stream.seek(0)
    return load(stream, **options)


def check_same(before, after):
    assert repr(before) == repr(after)
    assert list(before) == list(after)
    for name in ("whole", "view", "turned", "stretched", "number", "empty", "leaf"):
        assert before[name].stride() == after[name].stride()
        assert before[name].requires_grad == after[name].requires_grad
    assert after["parameter"] is after["again"] and after["parameter"].note == "kept"
    assert isinstance(after["buffer"], torch.nn.Buffer)
    assert after["state"]._metadata == before["state"]._metadata
    assert after["view"].data_ptr() == after["whole"].data_ptr() + 16


@pytest.mark.parametrize("weights_only", [True, False])
def test_everything_survives(weights_only):
    check_same(everything(torch), through(everything(torch), weights_only=weights_only))


@pytest.mark.parametrize("name", ["torch_zip.pt", "torch_old.pt"])
@pytest.mark.parametrize("weights_only", [True, False])
def test_files_that_torch_wrote(name, weights_only):
    check_same(everything(torch), load(GOLDEN / name, weights_only=weights_only))


def test_a_model_that_torch_wrote():
    model = load(GOLDEN / "torch_model.pt", weights_only=False)
    assert isinstance(model, torch.nn.Sequential) and isinstance(model[1], torch.nn.BatchNorm1d)
    x, y = load(GOLDEN / "torch_model_results.pt")
    assert torch.allclose(model.eval()(x), y, atol=1e-6)


def test_what_torch_reads():
    """torch's safe reader knows these instructions and names; ours must not use others."""
    stream = io.BytesIO()
    save(everything(torch), stream)
    body = zipfile.ZipFile(stream).read("archive/data.pkl")
    used = {(o.name, a) for o, a, _ in pickletools.genops(body)}
    assert {a for name, a in used if name == "GLOBAL" and a.startswith("torch")} <= {
        *("torch Size", "torch device", "torch float16", "torch Tensor"),
        *(
            f"torch {n}Storage"
            for n in ["Bool", "Byte", "Char", "Short", "Int", "Long", "Half", "BFloat16"]
        ),
        *(f"torch {n}Storage" for n in ["Float", "Double", "ComplexFloat", "ComplexDouble"]),
        *(f"torch._utils _rebuild_{n}" for n in ("tensor_v2", "parameter_with_state")),
        "torch._tensor _rebuild_from_type_v2",
    }
    assert {name for name, _ in used} <= {*HANDLERS, "STOP"}


def test_archive_is_laid_out_as_torch_does():
    stream = io.BytesIO()
    save([torch.ones(3), torch.ones(5, dtype=torch.float64)], stream)
    with zipfile.ZipFile(stream) as archive:
        assert archive.read("archive/version") == b"3\n"
        assert archive.read("archive/byteorder") == b"little"
        for info in archive.infolist():
            name, extra = struct.unpack("<HH", stream.getvalue()[info.header_offset :][26:30])
            assert (info.header_offset + 30 + name + extra) % 64 == 0
            assert info.compress_type == zipfile.ZIP_STORED
        assert archive.testzip() is None


def test_shared_memory_stays_shared():
    after = through(everything(torch))
    after["whole"][1, 0] = 99
    assert after["view"][0, 0] == 99 and after["turned"][0, 1] == 99


def test_one_memory_as_two_types_is_refused():
    x = torch.ones(4)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        save([x, x.view(torch.int32)], io.BytesIO())


def test_training_goes_on_from_a_file(tmp_path):
    def new():
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        return model, torch.optim.AdamW(model.parameters(), lr=0.1, amsgrad=True)

    def train(model, optimizer, steps):
        x = torch.arange(12.0).reshape(4, 3) / 10
        for _ in range(steps):
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            optimizer.step()

    model, optimizer = new()
    train(model, optimizer, 3)
    save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c.pt")
    train(model, optimizer, 3)
    other, other_optimizer = new()
    saved = load(tmp_path / "c.pt")
    assert str(other.load_state_dict(saved["model"])) == "<All keys matched successfully>"
    other_optimizer.load_state_dict(saved["optimizer"])
    train(other, other_optimizer, 3)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


def test_mapped_memory(tmp_path):
    save(everything(torch), tmp_path / "a.pt")
    after = load(tmp_path / "a.pt", mmap=True)
    check_same(everything(torch), after)
    after["whole"][0, 0] = 7
    assert load(tmp_path / "a.pt")["whole"][0, 0] == 0
    with pytest.raises(ValueError, match="file path"):
        load(io.BytesIO((tmp_path / "a.pt").read_bytes()), mmap=True)


def test_failed_save_leaves_the_file(tmp_path):
    path = tmp_path / "a.pt"
    save({"x": torch.ones(1)}, path)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        save({"x": lambda: 1}, path)
    assert load(path)["x"].item() == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]
    with pytest.raises(RuntimeError, match="does not exist"):
        save(1, tmp_path / "none" / "a.pt")


# -- what a file must not do -----------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return print, ("code from a file",)


class Holder:
    def __init__(self, x):
        self.x = x


def test_a_file_runs_no_code(capsys):
    with pytest.raises(pickle.UnpicklingError, match="print was not an allowed global"):
        through(Evil())
    assert capsys.readouterr().out == ""
    through(Evil(), weights_only=False)
    assert capsys.readouterr().out == "code from a file\n"


def test_classes_that_the_user_allows():
    with pytest.raises(pickle.UnpicklingError, match="Holder was not an allowed global"):
        through(Holder(3))
    with safe_globals([Holder]):
        assert through(Holder(torch.ones(2))).x.tolist() == [1, 1]
    with pytest.raises(pickle.UnpicklingError):
        through(Holder(3))
    with safe_globals([]):
        add_safe_globals([(Holder, f"{Holder.__module__}.Holder")])
        assert through([Holder(3)])[0].x == 3


PROGRAMS = {
    "calling what was built": b"\x80\x02]K\x01\x85R.",
    "a state for a function": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor\n}X\x01\x00\x00\x00aK\x01sb."
    ),
    "items in a function": b"\x80\x02ctorch._utils\n_rebuild_tensor\nK\x01K\x02s.",
    "appending to a tuple": b"\x80\x02)K\x01a.",
    "a tensor without memory": b"\x80\x02ctorch\nTensor\n)\x81.",
    "calling the class of tensors": b"\x80\x02ctorch\nTensor\n)R.",
    "another encoding": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.",
    "gigabytes of zeros": (
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R."
    ),
    "an instance of an old class": b"\x80\x02(ios\nsystem\n.",
    "rebuilding by something else": (
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(c_codecs\nencode\nctorch\nTensor\n)}tR."
    ),
    "a storage that is none": b"\x80\x02K\x01Q.",
    "no end": b"\x80\x02K\x01",
    "nothing on the stack": b"\x80\x02.",
    "no mark": b"\x80\x02K\x01t.",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_are_refused(name):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", PROGRAMS[name])
    stream.seek(0)
    with pytest.raises((pickle.UnpicklingError, RuntimeError), match=r"Weights only|damaged"):
        load(stream)


def test_a_tensor_cannot_look_beyond_its_storage(tmp_path):
    path = tmp_path / "a.pt"
    save(torch.arange(4.0), path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        parts = {n: archive.read(n) for n in archive.namelist()}
    parts["a/data.pkl"] = parts["a/data.pkl"].replace(b"K\x00K\x04\x85", b"K\x00K\x7f\x85")
    assert parts["a/data.pkl"] not in content
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(RuntimeError, match="does not fit its storage"):
        load(path)


def test_whole_modules_need_trust():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    with pytest.raises(pickle.UnpicklingError, match="weights_only=False"):
        through(model)
    again = through(model, weights_only=False)
    x = torch.ones(1, 2)
    assert torch.equal(model(x), again(x))


# -- damaged files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"garbage", b"PK\x03\x04cut short"])
def test_damaged_files(content, tmp_path):
    path = tmp_path / "bad.pt"
    path.write_bytes(content)
    with pytest.raises((RuntimeError, pickle.UnpicklingError), match="damaged"):
        load(path)


def test_empty_file():
    with pytest.raises(EOFError, match="Ran out of input"):
        load(io.BytesIO())


@pytest.mark.parametrize("name", ["torch_zip.pt", "torch_old.pt"])
def test_changed_bytes_never_do_worse_than_raise(name):
    whole, draw, seen = (GOLDEN / name).read_bytes(), random.Random(0), Counter()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            load(io.BytesIO(content))
            seen["loaded"] += 1
        except (RuntimeError, pickle.UnpicklingError, EOFError) as e:
            seen[type(e).__name__] += 1
    assert seen["RuntimeError"] + seen["UnpicklingError"] > 50


@pytest.mark.parametrize("name", ["torch_zip.pt", "torch_old.pt"])
def test_truncated_files(name):
    whole = (GOLDEN / name).read_bytes()
    for n in range(1, len(whole) - 1, 997):
        with pytest.raises((RuntimeError, pickle.UnpicklingError, EOFError)):
            load(io.BytesIO(whole[:n]))


def test_missing_storage(tmp_path):
    path = tmp_path / "bad.pt"
    save(torch.ones(3), path)
    with zipfile.ZipFile(path) as archive:
        parts = {n: archive.read(n) for n in archive.namelist() if "/data/" not in n}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(RuntimeError, match="data/0"):
        load(path)


def test_compressed_archives_are_read(tmp_path):
    save(torch.arange(5.0), tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as archive,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as other,
    ):
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    assert load(tmp_path / "b.pt").tolist() == [0, 1, 2, 3, 4]


# -- where from, where to --------------------------------------------------------------------------


def test_no_such_file_and_no_cuda(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt")
    save(torch.ones(1), tmp_path / "a.pt")
    with pytest.raises(RuntimeError, match="CPU only"):
        load(tmp_path / "a.pt", map_location="cuda")
    for location in ("cpu", torch.device("cpu"), lambda storage, place: storage, {"cuda:0": "cpu"}):
        assert load(tmp_path / "a.pt", map_location=location).item() == 1


def test_storages_of_another_device(tmp_path):
    path = tmp_path / "a.pt"
    save(torch.ones(1), path)
    with zipfile.ZipFile(path) as archive:
        parts = {n: archive.read(n) for n in archive.namelist()}
    parts["a/data.pkl"] = parts["a/data.pkl"].replace(
        b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
        load(path)
    assert load(path, map_location="cpu").item() == 1
    assert load(path, map_location={"cuda:0": "cpu"}).item() == 1


def test_settings_that_contradict():
    with pytest.raises(RuntimeError, match="explicit pickle_module"):
        load(io.BytesIO(), weights_only=True, pickle_module=pickle)


def test_special_destinations(tmp_path):
    save(torch.ones(1), os.devnull)
    link = tmp_path / "link.pt"
    link.symlink_to(tmp_path / "file.pt")
    save(torch.ones(1), link)
    assert link.is_symlink() and load(tmp_path / "file.pt").item() == 1


# -- safetensors -----------------------------------------------------------------------------------


def test_safetensors(tmp_path):
    import safetensors.numpy as package

    before = {
        "a": torch.rand(2, 3),
        "b": torch.tensor([1.5], dtype=torch.bfloat16),
        "c": torch.tensor([1, 2]),
        "0": torch.zeros(0, 4),
        "s": torch.tensor(True),
    }
    path = tmp_path / "x.safetensors"
    safetensors.save_file(before, path, {"made": "here"})
    after = safetensors.load_file(path)
    assert all(
        torch.equal(before[k], after[k]) and after[k].dtype == before[k].dtype for k in before
    )
    del before["b"]
    safetensors.save_file(before, path)
    theirs = package.load_file(path)
    assert all((theirs[k] == before[k].numpy()).all() for k in before)
    again = safetensors.load(package.save({k: v.numpy() for k, v in before.items()}))
    assert all(torch.equal(before[k], again[k]) for k in before)


def test_what_safetensors_cannot_hold(tmp_path):
    x = torch.ones(2, 3)
    with pytest.raises(ValueError, match="complex128"):
        safetensors.save({"z": torch.tensor([1j], dtype=torch.complex128)})
    with pytest.raises(ValueError, match="non contiguous"):
        safetensors.save({"x": x.t()})
    with pytest.raises(RuntimeError, match="share memory"):
        safetensors.save({"x": x, "y": x[1]})


@pytest.mark.parametrize("cut", [0, 4, 20, -1])
def test_damaged_safetensors(cut):
    whole = safetensors.save({"x": torch.ones(2, 3)})
    with pytest.raises(RuntimeError, match="damaged safetensors file"):
        safetensors.load(whole[:cut])


@pytest.mark.parametrize(
    "header",
    [
        b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,800]}}',
        b'{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}',
        b'{"x":{"dtype":"F32","shape":[-2],"data_offsets":[8,0]}}',
        b'{"x":{"dtype":"Z9","shape":[2],"data_offsets":[0,8]}}',
        b'{"x":3}',
        b"[]",
    ],
)
def test_safetensors_that_lie(header):
    content = len(header).to_bytes(8, "little") + header + bytes(8)
    with pytest.raises(RuntimeError, match="damaged safetensors file"):
        safetensors.load(content)
