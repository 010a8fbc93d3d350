"""What comparisons of integers and of floats have in common."""

import numpy as np



def compared(a, b, kind):
    return {"LT": np.less, "LE": np.less_equal, "GT": np.greater, "GE": np.greater_equal, "EQ": np.equal,
            "NE": np.not_equal}[kind](a, b)


def comparison_of(c):
    return next(m for m in c.instruction.modifiers if m.rstrip("U") in ("LT", "LE", "GT", "GE", "EQ", "NE", "NUM", "NAN"))


def combine(c, tested, condition):
    if "OR" in c.modifiers:
        return tested | condition
    return tested ^ condition if "XOR" in c.modifiers else tested & condition
