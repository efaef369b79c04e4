"""Linear algebra (`torch.linalg`)."""

from .ops.distance import vector_norm as vector_norm
from .ops.einsum import multi_dot as multi_dot
from .ops.factorizations import cholesky as cholesky
from .ops.factorizations import cholesky_ex as cholesky_ex
from .ops.factorizations import eigenvectors as eig
from .ops.factorizations import eigvals as eigvals
from .ops.factorizations import eigvalsh as eigvalsh
from .ops.factorizations import hermitian_eigenvectors as eigh
from .ops.factorizations import householder_product as householder_product
from .ops.factorizations import ldl_factor as ldl_factor
from .ops.factorizations import ldl_factor_ex as ldl_factor_ex
from .ops.factorizations import ldl_solve as ldl_solve
from .ops.factorizations import lu as lu
from .ops.factorizations import lu_factor as lu_factor
from .ops.factorizations import lu_factor_ex as lu_factor_ex
from .ops.factorizations import lu_solve as lu_solve
from .ops.factorizations import qr as qr
from .ops.factorizations import svd as svd
from .ops.factorizations import svdvals as svdvals
from .ops.linalg import LinAlgError as LinAlgError
from .ops.linalg import _diagonal as diagonal
from .ops.linalg import cond as cond
from .ops.linalg import linalg_cross as cross
from .ops.linalg import matrix_norm as matrix_norm
from .ops.linalg import matrix_power as matrix_power
from .ops.linalg import matrix_rank as matrix_rank
from .ops.linalg import norm as norm
from .ops.linalg import vander as vander
from .ops.linalg import vecdot as vecdot
from .ops.products import matmul as matmul
from .ops.solvers import determinant as det
from .ops.solvers import exponential as _matrix_exp
from .ops.solvers import inv as _inv
from .ops.solvers import inv_ex as inv_ex
from .ops.solvers import least_squares as lstsq
from .ops.solvers import pinv as pinv
from .ops.solvers import sign_and_log_determinant as slogdet
from .ops.solvers import solve as _solve
from .ops.solvers import solve_ex as solve_ex
from .ops.solvers import solve_triangular as _solve_triangular
from .ops.solvers import tensorinv as tensorinv
from .ops.solvers import tensorsolve as tensorsolve

inv = _inv.op.entry
matrix_exp = _matrix_exp.op.entry
solve = _solve.op.entry
solve_triangular = _solve_triangular.op.entry
