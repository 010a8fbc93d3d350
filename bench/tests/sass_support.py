"""Listings and launches for the tests of the interpreter of SASS."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
try:
    import numpy as np
except ImportError:
    raise unittest.SkipTest("numpy was not found (Debian, Ubuntu: apt-get install python3-numpy)") from None

from sass import listing
from sass.machine import Machine
from sass.memory import Memory

BUFFER = 0x10000  # where the memory of a launch begins
FIRST_PARAMETER = 0x160


def control(stall=1, write=7, read=7, waits=0):
    """The second word of an instruction, of which the last bits alone are read."""
    return stall << 41 | write << 46 | read << 49 | waits << 52


def code(*lines, arch="sm_80", symbol="kernel", constants=b""):
    """Instructions 16 bytes apart; a line is its text, or that and its control word."""
    text = [f"arch = {arch}", f"\t\tFunction : {symbol}"]
    for i, line in enumerate(lines):
        body, word = line if isinstance(line, tuple) else (line, control())
        text += [f"        /*{16 * i:04x}*/   {body} ;   /* 0x{0:016x} */", f"      /* 0x{word:016x} */"]
    result = listing.parse(text)[symbol]
    result.constants = constants
    return result


def parameters(*values):
    """Each of 8 bytes."""
    return b"".join(value.to_bytes(8, "little") for value in values)


def machine(instructions, size=4096, threads=32, given=(BUFFER,), observer=None, image=None, **more):
    memory = Memory([(BUFFER, size)], np.zeros(size, np.uint8) if image is None else image)
    return Machine(instructions, memory, parameters(*given), FIRST_PARAMETER, threads=threads, observer=observer, **more)


def run(*lines, **options):
    """The machine after it has run these lines, and EXIT."""
    result = machine(code(*lines, "EXIT"), **options)
    result.run()
    return result


def words(a_machine, count=32):
    """The first words of the memory."""
    return a_machine.memory.image.view(np.uint32)[:count].tolist()


# R2 and R3 are the address of the thread's word.
OWN_ADDRESS = ["S2R R0, SR_TID.X", "MOV R1, 0x4", "IMAD.WIDE R2, R0, R1, c[0x0][0x160]"]
