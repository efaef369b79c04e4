"""Function transformations (`torch.func`): each takes a function and gives a function; they nest in
any order.
"""

from .batching import vmap as vmap
from .pullback import grad as grad
from .pullback import grad_and_value as grad_and_value
from .pullback import hessian as hessian
from .pullback import jacrev as jacrev
from .pullback import vjp as vjp
from .pushforward import jacfwd as jacfwd
from .pushforward import jvp as jvp
from .pushforward import linearize as linearize
from .stateless import functional_call as functional_call
from .stateless import stack_module_state as stack_module_state
