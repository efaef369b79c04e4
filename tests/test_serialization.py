"""Saving and loading: everything survives, shared memory stays shared, and a file runs no code."""

import io
import pickle
import zipfile

import pytest

import chainrule as torch
from chainrule.serialization import load, safetensors, save


def everything():
    w = torch.arange(12.0).reshape(3, 4)
    return {
        "whole": w,
        "view": w[1:, ::2],
        "turned": w.t(),
        "halves": [
            torch.tensor([1.5], dtype=torch.bfloat16),
            torch.tensor([1.5], dtype=torch.float16),
        ],
        "complex": torch.tensor([1 + 2j]),
        "mask": torch.tensor([True, False]),
        "number": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "leaf": torch.ones(2, requires_grad=True),
        "plain": [1, "x", (2.5, None), {"k": b"bytes"}],
        "dtype": torch.float16,
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
    }


def through(obj, **options):
    stream = io.BytesIO()
    save(obj, stream)
    stream.seek(0)
    return load(stream, **options)


def test_everything_survives():
    before, after = everything(), through(everything())
    assert repr(before) == repr(after)
    for name in ("whole", "view", "turned", "number", "empty"):
        assert before[name].stride() == after[name].stride()


def test_shared_memory_stays_shared():
    after = through(everything())
    after["whole"][1, 0] = 99
    assert after["view"][0, 0] == 99 and after["turned"][0, 1] == 99


def test_path_and_state_dict(tmp_path):
    model = torch.nn.Linear(3, 2)
    save(model.state_dict(), tmp_path / "m.pt")
    again = torch.nn.Linear(3, 2)
    again.load_state_dict(load(tmp_path / "m.pt"))
    assert torch.equal(model.weight, again.weight) and torch.equal(model.bias, again.bias)


def test_failed_save_leaves_the_file(tmp_path):
    path = tmp_path / "a.pt"
    save({"x": torch.ones(1)}, path)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        save({"x": lambda: 1}, path)
    assert load(path)["x"].item() == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


class Evil:
    def __reduce__(self):
        return print, ("code from a file",)


def test_a_file_runs_no_code(capsys):
    with pytest.raises(pickle.UnpicklingError, match="print"):
        through(Evil())
    assert capsys.readouterr().out == ""
    through(Evil(), weights_only=False)
    assert capsys.readouterr().out == "code from a file\n"


def test_whole_modules_need_trust():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    with pytest.raises(pickle.UnpicklingError, match="weights_only=False"):
        through(model)
    again = through(model, weights_only=False)
    x = torch.ones(1, 2)
    assert torch.equal(model(x), again(x))


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04cut short"])
def test_damaged_files(content, tmp_path):
    path = tmp_path / "bad.pt"
    path.write_bytes(content)
    with pytest.raises((RuntimeError, EOFError, pickle.UnpicklingError)):
        load(path)


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


def test_no_such_file_and_no_cuda(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt")
    save(torch.ones(1), tmp_path / "a.pt")
    with pytest.raises(RuntimeError, match="CPU only"):
        load(tmp_path / "a.pt", map_location="cuda")


def test_safetensors(tmp_path):
    before = {
        "a": torch.rand(2, 3),
        "b": torch.tensor([1.5], dtype=torch.bfloat16),
        "c": torch.tensor([1, 2]),
    }
    safetensors.save_file(before, tmp_path / "x.safetensors")
    after = safetensors.load_file(tmp_path / "x.safetensors")
    assert all(torch.equal(before[k], after[k]) for k in before)
