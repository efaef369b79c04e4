"""torch's paths to the layers (`torch.nn.modules.batchnorm._BatchNorm` ...), for programs that
import from there.
"""

import importlib
import sys
import types

from .. import *  # noqa: F403

HOMES = {
    "activation": ("activation", "attention"),
    "adaptive": ("adaptive_softmax",),
    "batchnorm": ("norm", "lazy"),
    "channelshuffle": ("shaping",),
    "container": ("containers",),
    "conv": ("conv", "lazy"),
    "distance": ("shaping",),
    "dropout": ("dropout",),
    "flatten": ("shaping",),
    "fold": ("shaping",),
    "instancenorm": ("norm", "lazy"),
    "lazy": ("lazy",),
    "linear": ("linear", "lazy"),
    "loss": ("loss",),
    "module": ("module",),
    "normalization": ("norm",),
    "padding": ("padding",),
    "pixelshuffle": ("shaping",),
    "pooling": ("pooling",),
    "rnn": ("rnn",),
    "sparse": ("sparse",),
    "transformer": ("attention",),
    "upsampling": ("shaping",),
    "utils": ("tuples",),
}

for _name, _homes in HOMES.items():
    _module = types.ModuleType(f"{__name__}.{_name}", f"What torch keeps in nn.modules.{_name}.")
    for _home in reversed(_homes):
        _found = vars(importlib.import_module(f"chainrule.nn.{_home}"))
        _module.__dict__.update({k: v for k, v in _found.items() if not k.startswith("__")})
    sys.modules[_module.__name__] = _module
    globals()[_name] = _module
