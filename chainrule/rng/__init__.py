"""The random streams of torch's CPU generator: same seed, same numbers.

Everything is drawn from one MT19937 engine, seeded as NumPy's legacy `RandomState(seed mod 2**32)`.
Its 32-bit words w become values thus; a "long" is w1 * 2**32 + w2, made of two words.

    float        (w mod 2**24) / 2**24
    double       (w mod 2**53) / 2**53, of a long
    uniform      float (double for float64) * (high - low) + low; rounded up to `high`, it is `low`
    normal       16 or more values, contiguous: floats (doubles for float64) in groups of 16, where
                 u1 = number i and u2 = number i + 8 give r cos t to i and r sin t to i + 8, with
                 r = sqrt(-2 log(1 - u1)), t = 2 pi u2; unless 16 divides n, the last 16 values are
                 drawn anew. Fewer values, or a strided destination: two doubles give a pair (t from
                 the first, r from the second), whose sine waits in the generator for its turn
    integers     low + w mod (high - low), of a long if the range reaches 2**28
    bernoulli    double < p; float < p for a tensor of probabilities below float64
    exponential, cauchy, geometric: of a double each, the inverse of the distribution function
    log_normal   exp of a normal made in pairs, whatever the number of values
    permutation  a word for each place i: swap with place i + w mod (n - i)
    multinomial  one sample, or no replacement: the largest weight / exponential; else a double for
                 each sample, found in the cumulative sum of the weights
    poisson, binomial, gamma, dirichlet: rejection from doubles, one value after the other

Integers and comparisons are exact. The rest is rounding, and torch's is followed there too: where
it fuses multiply and add, or takes log, sin and cos from single precision polynomials (float32
normals), so does this; its float64 functions are the C library's.

Every draw takes (generator, shape, dtype name) or arrays of parameters and returns a new array;
`write` puts a draw into an existing array of any strides. A lock per generator makes a draw atomic.
"""

from .choices import draw_multinomial, draw_permutation
from .generator import DEFAULT_SEED, Generator, default_generator
from .integers import draw_any_integers, draw_integers
from .normals import draw_log_normal, draw_normal, draw_normal_around
from .rejection import draw_binomial, draw_dirichlet, draw_gamma, draw_poisson
from .strided import write
from .uniforms import (
    draw_bernoulli,
    draw_cauchy,
    draw_dropout_mask,
    draw_exponential,
    draw_geometric,
    draw_uniform,
)

__all__ = [
    "DEFAULT_SEED",
    "Generator",
    "default_generator",
    "draw_any_integers",
    "draw_bernoulli",
    "draw_binomial",
    "draw_cauchy",
    "draw_dirichlet",
    "draw_dropout_mask",
    "draw_exponential",
    "draw_gamma",
    "draw_geometric",
    "draw_integers",
    "draw_log_normal",
    "draw_multinomial",
    "draw_normal",
    "draw_normal_around",
    "draw_permutation",
    "draw_poisson",
    "draw_uniform",
    "write",
]
