"""`chainrule run`: PyTorch programs unchanged, notebooks' cells, and clear words for what is
missing.
"""

import subprocess
import sys
import textwrap

from chainrule import as_torch, cli


def run(tmp_path, source, *arguments, options=()):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(source))
    command = [sys.executable, "-m", "chainrule.cli", "run", *options, str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_program_runs_unchanged(tmp_path):
    done = run(
        tmp_path,
        """
        import sys
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        from torch.autograd import grad
        from torch.nn import Linear, init
        from torch.optim import SGD
        if __name__ == "__main__":
            x = torch.ones(2, requires_grad=True)
            print(sys.argv[1:], torch.Tensor.__module__, F.relu is nn.functional.relu,
            torch.nn.Linear is Linear)
            print(grad((x * x).sum(), x))
    """,
        "--lr",
        "1",
    )
    assert done.stderr == ""
    assert done.stdout == "['--lr', '1'] chainrule.tensor True True\n(tensor([2., 2.]),)\n"


def test_cells_echo_their_last_expression_and_go_on_after_an_error(tmp_path):
    done = run(
        tmp_path,
        """
        import torch
        x = torch.ones(2)
        x
        # %%
        x + 1
        [x.reshape(2, 1), x]
        # %%
        x.backward()
        # %%
        None
    """,
        options=["--echo"],
    )
    assert done.returncode == 1
    assert (
        done.stdout == "tensor([1., 1.])\n[tensor([[1.],\n         [1.]]),\n tensor([1., 1.])]\n"
        "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn\n"
    )


def test_a_missing_module_is_named_with_what_there_is(tmp_path):
    done = run(tmp_path, "import torch.distributed.rpc")
    assert done.returncode == 1
    assert "No module named 'torch.distributed" in done.stderr and "optim" in done.stderr


def test_a_missing_name_is_named(tmp_path):
    done = run(tmp_path, "import torch\ntorch.cumsumm")
    assert "AttributeError: module 'torch' has no attribute 'cumsumm'" in done.stderr
    assert "cumsum" in done.stderr.rsplit("cumsumm", 1)[1]
    done = run(tmp_path, "from torch import sparse_gizmo")
    assert "ImportError" in done.stderr and "sparse_gizmo" in done.stderr


def test_no_such_file(capsys):
    assert cli.main(["run", "nowhere.py"]) == 2
    assert "cannot read 'nowhere.py'" in capsys.readouterr().err


def test_real_torch_is_not_replaced(monkeypatch):
    other = type(sys)("torch")
    monkeypatch.setitem(sys.modules, "torch", other)
    try:
        as_torch.install_as_torch()
    except RuntimeError as e:
        assert "already been imported" in str(e)
    else:
        raise AssertionError("replaced a torch that was loaded")
