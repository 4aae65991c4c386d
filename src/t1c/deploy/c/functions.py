"""Helper functions in C, those of ``t1c.ir.primitives.functions`` line by line among them.

Only what a source calls is written into it. REAL stands for the type of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator

from t1c.ir.primitives import functions

_LOW = functions._LN2_LOW
_HIGH = functions._LN2_HIGH
_PER = functions._PER_LN2


def _grown() -> str:
    factors = reversed(functions._INVERSE_FACTORIALS)
    lines = [f"    series = (series + {factor!r}) * r;" for factor in factors]
    return "\n".join(["    double series = 0.0;", *lines])


def _series() -> str:
    lines = [f"    series = series * z + {1 / (2 * n + 1)!r};" for n in range(11, -1, -1)]
    return "\n".join(["    double series = 0.0;", *lines])


SOURCES: dict[str, tuple[tuple[str, ...], str]] = {
    "t1c_floor": (
        (),
        """static REAL t1c_floor(REAL x) {
    /* From WHOLE on all numbers are whole; zero keeps its sign. */
    if (!(x > -WHOLE && x < WHOLE) || x == 0) {
        return x;
    }
    const REAL whole = (REAL)(WIDE)x;
    return whole > x ? whole - 1 : whole;
}""",
    ),
    "t1c_round": (
        (),
        """static REAL t1c_round(REAL x) {
    /* Halves to the even neighbour; what is added leaves no room for a fraction. */
    if (!(x > -WHOLE && x < WHOLE) || x == 0) {
        return x;
    }
    return x < 0 ? -((WHOLE - x) - WHOLE) : (x + WHOLE) - WHOLE;
}""",
    ),
    **{
        f"t1c_floor_shift{wide}": (
            (),
            f"""static {kind} t1c_floor_shift{wide}({kind} x, int places) {{
    /* x / 2**places, rounded down; C leaves it open how a negative number is shifted. */
    return x >= 0 ? x >> places : ~(~x >> places);
}}""",
        )
        for wide, kind in (("", "int32_t"), ("_wide", "int64_t"))
    },
    **{
        f"t1c_round_shift{wide}": (
            (f"t1c_floor_shift{wide}",),
            f"""static {kind} t1c_round_shift{wide}({kind} x, int places) {{
    /* x / 2**places, halves to the even neighbour. */
    const {kind} one = 1;
    const {kind} down = t1c_floor_shift{wide}(x, places);
    const {kind} rest = x - down * (one << places);
    const {kind} half = one << (places - 1);
    return (rest > half || (rest == half && (down & 1) != 0)) ? down + 1 : down;
}}""",
        )
        for wide, kind in (("", "int32_t"), ("_wide", "int64_t"))
    },
    "t1c_sign": (
        (),
        """static REAL t1c_sign(REAL x) {
    return (REAL)(x > 0) - (REAL)(x < 0);
}""",
    ),
    "t1c_abs": (
        (),
        """static REAL t1c_abs(REAL x) {
    return ABS(x);
}""",
    ),
    "t1c_sqrt": (
        (),
        """static REAL t1c_sqrt(REAL x) {
    return SQRT(x);
}""",
    ),
    "t1c_power": (
        (),
        """static REAL t1c_power(REAL x, REAL exponent) {
    return POW(x, exponent);
}""",
    ),
    "t1c_power_of_two": (
        (),
        """static double t1c_power_of_two(int k) {
    const uint64_t bits = (uint64_t)(k + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}""",
    ),
    "t1c_grown": (
        (),
        f"""static double t1c_grown(double r) {{
    /* exp(r) - 1 by its series, for small r. */
{_grown()}
    return series;
}}""",
    ),
    "t1c_reduced": (
        (),
        f"""static double t1c_reduced(double x, int *k) {{
    /* x = k ln 2 + rest, the rest at most half of ln 2. */
    const double turns = x * {_PER!r};
    const double whole = 6755399441055744.0;
    const double rounded = (turns + whole) - whole;
    *k = (int)rounded;
    const double high = rounded * {_HIGH!r};
    const double low = rounded * {_LOW!r};
    return (x - high) - low;
}}""",
    ),
    "t1c_exp_wide": (
        ("t1c_power_of_two", "t1c_grown", "t1c_reduced"),
        """static double t1c_exp_wide(double x) {
    if (x != x) {
        return x;
    }
    int k;
    const double rest = t1c_reduced(x < -750.0 ? -750.0 : x > 710.0 ? 710.0 : x, &k);
    const int half = k >= 0 ? k / 2 : -((1 - k) / 2);
    const double grown = 1.0 + t1c_grown(rest);
    const double risen = grown * t1c_power_of_two(half);
    return risen * t1c_power_of_two(k - half);
}""",
    ),
    "t1c_expm1_wide": (
        ("t1c_exp_wide",),
        """static double t1c_expm1_wide(double x) {
    if (x != x || x == 0.0) {
        return x;
    }
    if (x > 50.0) {
        return t1c_exp_wide(x) - 1.0;
    }
    int k;
    const double rest = t1c_reduced(x < -50.0 ? -50.0 : x, &k);
    const double power = t1c_power_of_two(k);
    const double grown = power * t1c_grown(rest);
    return grown + (power - 1.0);
}""",
    ),
    "t1c_exp": (
        ("t1c_exp_wide",),
        """static REAL t1c_exp(REAL x) {
    return (REAL)t1c_exp_wide((double)x);
}""",
    ),
    "t1c_expm1": (
        ("t1c_expm1_wide",),
        """static REAL t1c_expm1(REAL x) {
    return (REAL)t1c_expm1_wide((double)x);
}""",
    ),
    "t1c_tanh_wide": (
        ("t1c_expm1_wide",),
        """static double t1c_tanh_wide(double x) {
    if (x != x || x == 0.0) {
        return x;
    }
    const double size = x < 0.0 ? -x : x;
    const double grown = t1c_expm1_wide(2.0 * (size > 25.0 ? 25.0 : size));
    const double y = grown / (grown + 2.0);
    return x < 0.0 ? -y : y;
}""",
    ),
    "t1c_tanh": (
        ("t1c_tanh_wide",),
        """static REAL t1c_tanh(REAL x) {
    return (REAL)t1c_tanh_wide((double)x);
}""",
    ),
    "t1c_log": (
        (),
        f"""static REAL t1c_log(REAL x) {{
    double wide = (double)x;
    if (!(wide > 0.0)) {{
        return wide == 0.0 ? -INFINITY : NAN;
    }}
    if (wide > 1.7976931348623157e308) {{
        return x;
    }}
    int e = 0;
    if (wide < 2.2250738585072014e-308) {{
        wide *= 18014398509481984.0;
        e = -54;
    }}
    uint64_t bits;
    memcpy(&bits, &wide, sizeof bits);
    e += (int)(bits >> 52) - 1022;
    bits = (bits & 0xfffffffffffffULL) | 0x3fe0000000000000ULL;
    double part;
    memcpy(&part, &bits, sizeof part);
    if (part < {0.5**0.5!r}) {{
        part *= 2.0;
        e -= 1;
    }}
    /* log(1 + f) = 2 atanh(s): a series in s squared. */
    const double f = part - 1.0;
    const double s = f / (2.0 + f);
    const double z = s * s;
{_series()}
    const double twice = 2.0 * s * series;
    const double low = (double)e * {_LOW!r};
    const double high = (double)e * {_HIGH!r};
    return (REAL)(high + (twice + low));
}}""",
    ),
    "t1c_sigmoid": (
        ("t1c_exp",),
        """static REAL t1c_sigmoid(REAL x) {
    const REAL e = t1c_exp(x < 0 ? x : -x);
    return (x >= 0 ? 1 : e) / (1 + e);
}""",
    ),
    "t1c_gelu": (
        (),
        """static REAL t1c_gelu(REAL x) {
    const double gate = erf((double)(x / ROOT2));
    return (REAL)((double)(HALF * x) * (1.0 + gate));
}""",
    ),
}
"""Name -> (the helpers that it calls, its source)."""

DENSE = """static void NAME(const WEIGHT *restrict w, const INPUT *restrict x, SUM *restrict y,
                 size_t inputs, size_t outputs) {
    /* Adds w[j] * x[j], a row of outputs, for each j in ascending order where x[j] is not 0. */
    size_t held[4];
    size_t n = 0;
    for (size_t j = 0; j < inputs; j++) {
        if (x[j] != 0) {
            held[n++] = j;
        }
        if (n == 4) {
            const WEIGHT *const w0 = w + held[0] * outputs;
            const WEIGHT *const w1 = w + held[1] * outputs;
            const WEIGHT *const w2 = w + held[2] * outputs;
            const WEIGHT *const w3 = w + held[3] * outputs;
            const SUM x0 = (SUM)x[held[0]], x1 = (SUM)x[held[1]];
            const SUM x2 = (SUM)x[held[2]], x3 = (SUM)x[held[3]];
            for (size_t o = 0; o < outputs; o++) {
                y[o] = (((y[o] + w0[o] * x0) + w1[o] * x1) + w2[o] * x2) + w3[o] * x3;
            }
            n = 0;
        }
    }
    for (size_t k = 0; k < n; k++) {
        const WEIGHT *const row = w + held[k] * outputs;
        const SUM xk = (SUM)x[held[k]];
        for (size_t o = 0; o < outputs; o++) {
            y[o] += row[o] * xk;
        }
    }
}"""

DENSE_SPIKES = """\
static void NAME(const WEIGHT *restrict w, const INPUT *restrict x, SUM *restrict y,
                 size_t inputs, size_t outputs) {
    /* Adds w[j], a row of outputs, for each j in ascending order where x[j] is 1 and not 0. */
    size_t held[4];
    size_t n = 0;
    for (size_t j = 0; j < inputs; j++) {
        if (x[j] != 0) {
            held[n++] = j;
        }
        if (n == 4) {
            const WEIGHT *const w0 = w + held[0] * outputs;
            const WEIGHT *const w1 = w + held[1] * outputs;
            const WEIGHT *const w2 = w + held[2] * outputs;
            const WEIGHT *const w3 = w + held[3] * outputs;
            for (size_t o = 0; o < outputs; o++) {
                y[o] = (((y[o] + w0[o]) + w1[o]) + w2[o]) + w3[o];
            }
            n = 0;
        }
    }
    for (size_t k = 0; k < n; k++) {
        const WEIGHT *const row = w + held[k] * outputs;
        for (size_t o = 0; o < outputs; o++) {
            y[o] += row[o];
        }
    }
}"""


SHORT = {
    "float": "f",
    "double": "d",
    "int8_t": "8",
    "int16_t": "16",
    "int32_t": "32",
    "int64_t": "64",
}


def dense(weight: str, inputs: str, sums: str, spikes: bool) -> tuple[str, str]:
    """Name and source of what adds up rows of weights, for these types."""
    name = "t1c_dense_spikes" if spikes else "t1c_dense"
    if len({weight, inputs, sums}) > 1:
        name += "".join(f"_{SHORT[each]}" for each in (weight, inputs, sums))
    text = DENSE_SPIKES if spikes else DENSE
    words = {"NAME": name, "WEIGHT": weight, "INPUT": inputs, "SUM": sums}
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return name, text


LIBM = ("t1c_sqrt", "t1c_power", "t1c_gelu")
"""Those that need the C library's mathematics."""


def needed(name: str) -> Iterator[str]:
    """A helper, after all that it calls."""
    for other in SOURCES[name][0]:
        yield from needed(other)
    yield name


def source(name: str, wide: bool) -> str:
    """The source of a helper, in float or in double."""
    text = SOURCES[name][1]
    # 2**23 and 2**52: from there on a type holds whole numbers only.
    words = {
        "REAL": "double" if wide else "float",
        "WHOLE": "4503599627370496.0" if wide else "8388608.0f",
        "WIDE": "int64_t" if wide else "int32_t",
        "SQRT": "sqrt" if wide else "sqrtf",
        "POW": "pow" if wide else "powf",
        "ABS": "fabs" if wide else "fabsf",
        "ROOT2": "1.4142135623730951" if wide else "1.4142135f",
        "HALF": "0.5" if wide else "0.5f",
    }
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text
