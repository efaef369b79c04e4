"""The operators, one module per family; `define` says what an operator is."""

from .. import tensor as tensor
