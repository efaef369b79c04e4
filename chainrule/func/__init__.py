"""Function transformations (`torch.func`): vmap, grad, jvp, functional_call."""

from .stateless import functional_call as functional_call
from .transforms import grad as grad
from .transforms import grad_and_value as grad_and_value
from .transforms import jvp as jvp
from .transforms import vmap as vmap
