"""Special functions of vector maths (see `vector_math`): the error function and the gamma function, and their relatives."""

from __future__ import annotations

import functools
import math

from graphflow.codegen.tracing import (
    Scalar,
    absolute,
    as_type,
    convert,
    f32,
    f64,
    fma,
    helper,
    polynomial,
    round_down,
    round_to_even,
    select,
    square_root,
    with_sign_of,
)
from graphflow.codegen.vector_math import (
    FORMAT,
    at_most,
    cosine_on_quadrant,
    exponent_from,
    exponential,
    exponential_less_one,
    inf,
    logarithm_of_one_plus,
    nan,
    natural_logarithm,
    power_of_two,
    reduce_by_ln2,
    sine_on_quadrant,
    two_product,
)

# --- error function ---------------------------------------------------------------------------------------------------------

ERF_TAIL = {  # erf(x) / x - 1 as a polynomial in x**2, for |x| < 0.9375 and 1: own minimax fits, errors 2**-30 and 2**-56
    f32: (0.12837917, -0.3761263, 0.11283625, -0.026855666, 0.0051922193, -0.0008047684, 7.98878e-05),
    f64: (
        0.12837916709551256, -0.37612638903183543, 0.11283791670945154, -0.02686617064325955, 0.00522397760728112,
        -0.000854832598263164, 0.00012055295102651158, -1.4924740363318881e-05, 1.6447463309055572e-06, -1.620875016281208e-07,
        1.3721096645546294e-08, -7.797613151334532e-10,
    ),
}  # fmt: skip
ERF_INNER = 1.0  # from here on, erf_f64 goes by erfc
ERFC_CENTRE = {f32: 2.0, f64: 4.0}
ERFC_FACTOR = {  # (1 + 2x) e**(x**2) erfc(x) as a polynomial in (x - centre) / (x + centre): own minimax fits, 2**-26, 2**-54
    f32: (
        1.2769784, -0.092763916, -0.16603094, 0.1640546, -0.05420753, -0.008057997, 0.008640121, 0.0013139944, -0.0012375546,
        -0.00040419967,
    ),
    f64: (
        1.2329951186255526, -0.13962111684056322, 0.015379652102607345, 0.06809705425476699, -0.10103906603561905,
        0.09373283499608928, -0.06633036582717772, 0.037167515567690074, -0.01619773388881613, 0.005031969769739727,
        -0.0007577744063508635, -0.00019925592605409863, 0.00015062627315019648, -2.4400535178491235e-05, -1.123404249988014e-05,
        5.709533724905428e-06, 3.1352557236188504e-07, -8.204679992174872e-07, 5.535624741567523e-08, 1.0167443681887857e-07,
        -8.063226922255013e-09, -8.4072135156773e-09,
    ),
}  # fmt: skip
ERFC_VANISHES = {f32: 10.1, f64: 27.3}


def complement_of_error_function(a: Scalar) -> Scalar:
    """erfc(a) for a >= 0: e**(-a**2) with the square in two parts, times a polynomial over 1 + 2a."""
    number = FORMAT[a.dtype]
    a = at_most(a, ERFC_VANISHES[a.dtype])
    square, square_low = two_product(a, a)
    t, r = reduce_by_ln2(-square)
    centre = ERFC_CENTRE[a.dtype]
    denominator = a + centre
    factor = polynomial((a - centre) / denominator, ERFC_FACTOR[a.dtype]) / (1.0 + 2.0 * a)
    grown = exponential_less_one(r)
    power = 1.0 + fma(-square_low, 1.0 + grown, grown)
    return (power * factor) * power_of_two(t, number.half_range) * 2.0**-number.half_range


def inner_error_function(x: Scalar) -> Scalar:
    """erf(x) for |x| < ERF_INNER."""
    return fma(x, polynomial(x * x, ERF_TAIL[x.dtype]), x)


ERF_EXPONENT_F32 = (  # -log(erfc(x)) / x on [0, 4]: own minimax fit, error 2**-24 of erf(x), near 0 from rounding the first
    1.1283792, 0.63661504, 0.102832176, -0.019400952, 0.00037250415, 0.0010681497, -0.0002729382, 8.668698e-06, 3.7413938e-06,
)  # fmt: skip


@helper
def erf_f32(x: Scalar) -> Scalar:
    """Error function: 1 - e**(-|x| P(|x|)), accurate near 0 as e**y - 1 is; its sign is that of x."""
    a = at_most(absolute(x), 4.0)
    t, r = reduce_by_ln2(-a * polynomial(a, ERF_EXPONENT_F32), FORMAT[f32].magic + FORMAT[f32].bias)
    power = exponent_from(t)
    return with_sign_of(fma(-power, exponential_less_one(r), 1.0 - power), x)


@helper
def erf_f64(x: Scalar) -> Scalar:
    """Error function: an odd polynomial inside, 1 - erfc(|x|) outside."""
    a = absolute(x)
    outer = with_sign_of(1.0 - complement_of_error_function(a), x)
    return select(a < ERF_INNER, inner_error_function(x), outer)


def complementary_error_function(x: Scalar) -> Scalar:
    """1 - erf(x): e**(-x**2) times a polynomial over 1 + 2x (the form of Shepherd & Laframboise)."""
    outer = complement_of_error_function(absolute(x))
    return select(absolute(x) < 0.25, 1.0 - inner_error_function(x), select(x < 0.0, 2.0 - outer, outer))


erfc_f32, erfc_f64 = helper(complementary_error_function, "erfc_f32"), helper(complementary_error_function, "erfc_f64")


ERFINV_INNER = (  # erfinv(x) / x as a polynomial in w - 5/2, w = -log(1 - x**2) up to 5: own fit, error 2**-27
    1.5014093588286097, 0.24664029610078533, -0.004177384243261247, -0.00125276367593121, 0.00021834229771560255,
    -4.95055160643456e-06, -3.46213652574027e-06, 4.6340213306686387e-07, 2.31860118981858e-08, -8.592048560059046e-09,
)  # fmt: skip
ERFINV_OUTER = (  # the same in sqrt(w) - 4, w up to 38: own fit, error 2**-22
    3.839783937901595, 1.0094930059404002, 0.0012565669767612715, -0.0008668121246871286, 0.0003331048118111539,
    -0.00012415969028936716, 3.934078998241904e-05, -2.4159226191264175e-05, 2.8349567563929546e-05, -1.453673411286855e-05,
    7.087670400844345e-07, 1.4719657471674832e-06, -3.139023650147469e-07,
)  # fmt: skip


def inverse_error_function(x: Scalar) -> Scalar:
    """Inverse error function: Giles's form, then one of Halley's steps, on erfc where the residual of erf would cancel."""
    a = absolute(x)
    w = -logarithm_of_one_plus(-a * a)
    w = select(a > 0.5, -natural_logarithm((1.0 - a) * (1.0 + a)), w)
    z = a * select(w < 5.0, polynomial(w - 2.5, ERFINV_INNER), polynomial(square_root(w) - 4.0, ERFINV_OUTER))
    residual = select(a > 0.75, (1.0 - a) - complement_of_error_function(z), inner_error_function(z) - a)
    newton = residual * exponential(z * z) * (math.sqrt(math.pi) / 2)
    z = z - newton / (1.0 + z * newton)
    result = select(a == 1.0, as_type(inf, x.dtype), select(a < 1.0, z, as_type(nan, x.dtype)))
    return select(a < 2.0**-500, x * (math.sqrt(math.pi) / 2), with_sign_of(result, x))


@helper
def erfinv_f32(x: Scalar) -> Scalar:
    """Inverse error function, by way of float64."""
    return convert(inverse_error_function(convert(x, f64)), f32)


erfinv_f64 = helper(inverse_error_function, "erfinv_f64")


# --- gamma function ---------------------------------------------------------------------------------------------------------

LGAMMA_CENTRE = (  # log(gamma(x)) / ((x - 1) (x - 2)) as a polynomial in x - 3/2 on [1, 2]: own minimax fit, error 2**-55
    0.4831289505409809, -0.1459598959143058, 0.06291140107458205, -0.031308487501087556, 0.016797098628941964,
    -0.009425622442416301, 0.005446457958529663, -0.003212074297821404, 0.0019229132083841399, -0.0011644100390571486,
    0.0007115654257450071, -0.0004380487841813248, 0.0002708923057812019, -0.00016848797349897635, 0.00010772624257596126,
    -6.824383482075685e-05, 3.496592499255196e-05, -2.087476961313892e-05, 2.8361045534700456e-05, -1.9043898216899554e-05,
)  # fmt: skip
DIGAMMA_ROOT, DIGAMMA_ROOT_LOW = 1.4616321449683622, 9.549995429965697e-17
DIGAMMA_CENTRE = (  # digamma(x) / (x - root) as a polynomial in x - 3/2 on [1, 2]: own minimax fit, error 2**-53
    0.951055876031833, -0.4236274212814607, 0.2405424842407739, -0.1484049230538503, 0.0949887244549844, -0.06192213327813219,
    0.040760833810201576, -0.026975796555028544, 0.01790725249733006, -0.011908222387566801, 0.007926943779751375,
    -0.0052799073849468916, 0.003519014298602712, -0.002345739848123422, 0.0015565872241882694, -0.0010351885116059,
    0.0007234782818072657, -0.0004899846281549143, 0.0002269472385312927, -0.00013763411847199673, 0.0002599138946651731,
    -0.00018368370991179772,
)  # fmt: skip
LGAMMA_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)  # Stirling's, in 1/x**2
DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)  # in 1/x**2
GAMMA_SHIFTS = 9  # an argument below 10 goes down to [1, 2) in so many steps; above, the series are exact enough


def log_gamma_of_positive(x: Scalar) -> Scalar:
    """log(gamma(x)) for x > 0: Stirling's series from 10 on; below, the logarithm of the factors down to [1, 2)."""
    constant = functools.partial(as_type, dtype=x.dtype)
    large, fraction = x >= 10.0, x < 1.0
    y, product = select(fraction, constant(1.0), x), select(fraction, x, constant(1.0))
    for _ in range(GAMMA_SHIFTS - 1):
        above = y >= 2.0
        y = select(above, y - 1.0, y)
        product = select(above, product * y, product)
    log = natural_logarithm(select(large, x, product))
    d = select(fraction, x, y - 1.0)  # the place in [1, 2), less 1: x + 1 would be rounded
    near = d * (d - 1.0) * polynomial(d - 0.5, LGAMMA_CENTRE)
    inverse = 1.0 / x
    series = inverse * polynomial(inverse * inverse, LGAMMA_SERIES)
    far = (x - 0.5) * (log - 1.0) + (series + (0.5 * math.log(2 * math.pi) - 0.5))
    return select(x < inf, select(large, far, near + select(fraction, -log, log)), x)


def sine_and_cosine_of_pi(x: Scalar) -> tuple[Scalar, Scalar]:
    """(sin(pi x), cos(pi x)) up to a common sign, the argument reduced exactly."""
    k = round_to_even(2.0 * x)
    r = (x - 0.5 * k) * math.pi
    odd = k - 2.0 * round_down(0.5 * k) == 1.0
    s, c = sine_on_quadrant(r), cosine_on_quadrant(r)
    return select(odd, c, s), select(odd, -s, c)


def log_gamma(x: Scalar) -> Scalar:
    """log|gamma(x)|, by reflection for negative x; infinite at 0, -1, -2, ..."""
    a = absolute(x)
    positive = log_gamma_of_positive(a)
    s, _ = sine_and_cosine_of_pi(a)
    reflected = -natural_logarithm(absolute(s) * a * (1 / math.pi)) - positive
    reflected = select(a == round_down(a), as_type(inf, x.dtype), reflected)
    reflected = select(a < 2.0**-60, -natural_logarithm(a), reflected)
    return select((x > 0.0) | (x != x), positive, reflected)


@helper
def lgamma_f32(x: Scalar) -> Scalar:
    """log|gamma(x)|, by way of float64."""
    return convert(log_gamma(convert(x, f64)), f32)


@helper
def lgamma_f64(x: Scalar) -> Scalar:
    """log|gamma(x)|: a polynomial on [1, 2], steps down to there below 10, Stirling's series beyond, reflection below 0."""
    return log_gamma(x)


def digamma_of_positive(x: Scalar) -> Scalar:
    """digamma(x) for x > 0: the asymptotic series from 10 on; below, the sum of reciprocals on the way to [1, 2)."""
    constant = functools.partial(as_type, dtype=x.dtype)
    large, fraction = x >= 10.0, x < 1.0
    y = select(fraction, constant(1.0), x)
    numerator, denominator = select(fraction, constant(-1.0), constant(0.0)), select(fraction, x, constant(1.0))
    for _ in range(GAMMA_SHIFTS - 1):
        above = y >= 2.0
        y = select(above, y - 1.0, y)
        numerator = select(above, numerator * y + denominator, numerator)
        denominator = select(above, denominator * y, denominator)
    d = select(fraction, x, y - 1.0)  # the place in [1, 2), less 1: x + 1 would be rounded
    near = ((d - (DIGAMMA_ROOT - 1.0)) - DIGAMMA_ROOT_LOW) * polynomial(d - 0.5, DIGAMMA_CENTRE) + numerator / denominator
    inverse = 1.0 / x
    square = inverse * inverse
    far = natural_logarithm(x) - (0.5 * inverse + square * polynomial(square, DIGAMMA_SERIES))
    return select(large, far, near)


def di_gamma(x: Scalar) -> Scalar:
    """The derivative of log(gamma(x)); by reflection for negative x; NaN at -1, -2, ..., infinite at 0."""
    negative = x < 0.0
    positive = digamma_of_positive(select(negative, 1.0 - x, x))
    s, c = sine_and_cosine_of_pi(x)
    reflected = select(x == round_down(x), as_type(nan, x.dtype), positive - math.pi * c / s)
    return select(x == 0.0, with_sign_of(as_type(inf, x.dtype), -x), select(negative, reflected, positive))


@helper
def digamma_f32(x: Scalar) -> Scalar:
    """The derivative of log(gamma(x)), by way of float64."""
    return convert(di_gamma(convert(x, f64)), f32)


@helper
def digamma_f64(x: Scalar) -> Scalar:
    """The derivative of log(gamma(x)): a polynomial on [1, 2], steps down to there below 10, the asymptotic series beyond."""
    return di_gamma(x)
