"""Reads the machine code of kernels: what `cuobjdump --dump-sass` prints, and what the code refers to."""

import functools
import os
import re
import struct
import subprocess
from dataclasses import dataclass, field

NO_BARRIER = 7


@dataclass
class Operand:
    """`kind` is one of

    register   index: 0 to 255, which is RZ; the same for uniform registers, of which 63 is URZ
    uniform
    predicate  index: 0 to 7, which is PT
    upredicate
    number     value: an integer, which listings have in hexadecimal, or a float
    constant   bank, and an address: value, and the register that is added to it if it is not None
    memory     value, and the registers that are added to it: (index, is_uniform, is_64_bits, factor)
    barrier    index, of convergence (B0) or of a scoreboard (SB0)
    special    name
    """

    kind: str
    index: int = None
    value: object = 0
    bank: int = 0
    name: str = ""
    registers: list = field(default_factory=list)
    negated: bool = False
    absolute: bool = False
    inverted: bool = False
    part: str = ""  # what follows the register: B1, H0_H0


@dataclass
class Instruction:
    address: int
    opcode: str
    modifiers: tuple
    operand_text: str  # read when the instruction runs: most of a kernel's never do
    guard: Operand
    text: str
    stall: int = 1
    write_barrier: int = NO_BARRIER  # freed when the result is there
    read_barrier: int = NO_BARRIER  # freed when the operands have been read
    waits: int = 0  # a bit for each barrier

    @functools.cached_property
    def operands(self):
        return operands_of(self.operand_text)


@dataclass
class Code:
    symbol: str
    arch: str
    instructions: list
    constants: bytes = b""  # bank 2


class Unreadable(Exception):
    """What the tools print is not as expected; the text says what to do."""


REGISTER = re.compile(r"(U?)R(Z|\d+)((?:\.\w+)*)$")
PREDICATE = re.compile(r"(U?)P(T|\d)$")
NUMBER = re.compile(r"[-+]?(0x[0-9a-f]+|\d+(\.\d*)?(e[-+]?\d+)?|INF|[QS]NAN)$")


def register_of(text):
    match = REGISTER.match(text)
    if match is None:
        return None
    uniform = match[1] == "U"
    index = (63 if uniform else 255) if match[2] == "Z" else int(match[2])
    part = ".".join(p for p in match[3].split(".") if p and p != "reuse")
    return Operand("uniform" if uniform else "register", index=index, part=part)


def number_of(text):
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits.startswith("0x"):
        return sign * int(digits, 16)
    if digits == "INF":
        return sign * float("inf")
    if digits.endswith("NAN"):
        return float("nan")
    return sign * float(digits)


def address_of(text, operand):
    """Fills in the registers and the number of `R2.64+UR4+0x10`."""
    for part in re.findall(r"[-+]?[^-+]+", text):
        register = register_of(part.strip("+-"))
        if register is None:
            operand.value += number_of(part)
            continue
        factor = int(match[1]) if (match := re.search(r"X(\d+)", register.part)) else 1
        operand.registers.append((register.index, register.kind == "uniform", "64" in register.part, factor))
    return operand


def operand_of(text):
    text = text.strip()
    if text == "PR":
        return Operand("special", name=text)
    if match := re.match(r"(-?)(\|?)c\[0x([0-9a-f]+)\]\[([^]]+)\]\|?$", text):
        operand = address_of(match[4], Operand("constant", bank=int(match[3], 16)))
        operand.negated, operand.absolute = match[1] == "-", match[2] == "|"
        return operand
    if match := re.match(r"(?:desc\[UR\d+\])?\[(.+)\]$", text):
        return address_of(match[1], Operand("memory"))
    if match := re.match(r"(!?)(U?P(?:T|\d))$", text):
        kind = PREDICATE.match(match[2])
        return Operand("upredicate" if kind[1] else "predicate", index=7 if kind[2] == "T" else int(kind[2]),
                       negated=match[1] == "!")
    if NUMBER.match(text):
        return Operand("number", value=number_of(text))
    if match := re.match(r"S?B(\d+)$", text):
        return Operand("barrier", index=int(match[1]))
    if match := re.match(r"([-~]?)(\|?)(U?R(?:Z|\d+)[.\w]*)(\|?)([.\w]*)$", text):
        operand = register_of(match[3])
        if operand is not None:
            operand.negated, operand.inverted, operand.absolute = match[1] == "-", match[1] == "~", match[2] == "|"
            return operand
    return Operand("special", name=text)


def operands_of(text):
    """Commas separate them, but for a register that a jump or a return adds a number to."""
    operands = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        words = part.split()
        operands += map(operand_of, words if len(words) > 1 and not part.startswith("`") else [part])
    return operands


LINE = re.compile(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P[T0-7]) +)?"  # its address and its guard
                  r"([A-Z]\w*)((?:\.\w+)*)([^;]*);?.*/\* 0x([0-9a-f]{16}) \*/")
SECOND = re.compile(r"\s*/\* 0x([0-9a-f]{16}) \*/")


def instruction_of(line):
    match = LINE.match(line)
    if match is None:
        return None
    return Instruction(int(match[1], 16), match[3], tuple(match[4].split(".")[1:]), match[5],
                       operand_of(match[2]) if match[2] else None, (match[3] + match[4] + match[5]).strip())


def control(instruction, word):
    """What the assembler has decided for the scheduler: in bits 41 to 57 of the second word (Volta and later)."""
    instruction.stall = word >> 41 & 0xF
    instruction.write_barrier = word >> 46 & 7
    instruction.read_barrier = word >> 49 & 7
    instruction.waits = word >> 52 & 0x3F


def unlisted(address, word, second):
    """An instruction that cuobjdump 11.8 leaves out of the listing and gives the bits of: VIMNMX of sm_90."""
    form = {0x248: "register", 0x848: "number"}.get(word & 0xFFF)
    if form is None:
        raise Unreadable(f"at {address:#x}: the listing has no text for {word:#018x} {second:#018x}, which is not known")
    guard = None
    if (word >> 12 & 0xF) != 7:
        guard = Operand("predicate", index=word >> 12 & 7, negated=bool(word >> 15 & 1))
    source = (Operand("number", value=word >> 32) if form == "number" else
              Operand("register", index=word >> 32 & 0xFF))
    operands = [Operand("register", index=word >> 16 & 0xFF), Operand("register", index=word >> 24 & 0xFF), source,
                Operand("predicate", index=second >> 23 & 7, negated=bool(second >> 26 & 1))]
    modifiers = () if second >> 8 & 1 else ("U32",)
    instruction = Instruction(address, "VIMNMX", modifiers, "", guard, "VIMNMX")
    instruction.operands = operands
    return instruction


def parse(lines):
    """The kernels of a listing, by symbol."""
    found = {}
    arch = code = None
    last = hidden = None  # the instruction whose second word comes, and the first word of one without a text
    for line in lines:
        if match := re.match(r"arch = (sm_\w+)", line):
            arch = match[1]
        elif match := re.match(r"\s*Function : (\S+)", line):
            code = found[match[1]] = Code(match[1], arch, [])
        elif code is not None and (instruction := instruction_of(line)) is not None:
            code.instructions.append(instruction)
            last = instruction
        elif code is not None and code.instructions and (match := SECOND.match(line)):
            word = int(match[1], 16)
            if last is None and hidden is None:
                hidden = word
                continue
            if hidden is not None:
                last = unlisted(code.instructions[-1].address + 16, hidden, word)
                code.instructions.append(last)
            control(last, word)
            last = hidden = None
    return found


class Cubin:
    """The code of one architecture, as the library holds it: an ELF file. Read are the sections that the listing does not
    show: constants of the compiler, and where the code needs the address of a variable."""

    LOW, HIGH = 0x38, 0x39  # R_CUDA_ABS32_LO_32, R_CUDA_ABS32_HI_32

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        if self.bytes[:4] != b"\x7fELF":
            raise Unreadable(f"{path} is not an ELF file")
        offset, = struct.unpack_from("<Q", self.bytes, 40)
        size, count, names = struct.unpack_from("<HHH", self.bytes, 58)
        headers = [struct.unpack_from("<IIQQQQIIQQ", self.bytes, offset + i * size) for i in range(count)]
        text = headers[names][4]
        self.sections = {self.name(text + header[0]): header for header in headers}

    def name(self, at):
        return self.bytes[at:self.bytes.index(b"\0", at)].decode()

    def section(self, name):
        header = self.sections.get(name)
        return b"" if header is None else self.bytes[header[4]:header[4] + header[5]]

    def relocations(self, symbol):
        """(address, name of a variable, LOW or HIGH) for a kernel."""
        symbols, names = self.section(".symtab"), self.sections[".strtab"][4]
        for section, size in [(".rel", 16), (".rela", 24)]:
            table = self.section(f"{section}.text.{symbol}")
            for at in range(0, len(table), size):
                place, info = struct.unpack_from("<QQ", table, at)
                if size == 24 and table[at + 16:at + 24].strip(b"\0"):
                    raise Unreadable(f"{symbol}: a relocation with an addend")
                name, = struct.unpack_from("<I", symbols, (info >> 32) * 24)
                yield place & ~0xF, self.name(names + name), info & 0xFFFFFFFF


def variable_key(name):
    """A variable's name without what differs from one compilation to the next."""
    return re.sub(r"^.*?_INTERNAL_[0-9a-f]+_\d+_\w+?_cu_[0-9a-f]{8}", "", name)


def run(*command, cwd=None):
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if result.returncode != 0:
        raise Unreadable(f"{' '.join(command)} failed: {result.stderr.strip()}")
    return result.stdout


class Library:
    """The code of a library for one architecture, in one or more objects. `folder` takes what is extracted."""

    def __init__(self, path, arch, folder):
        before = set(os.listdir(folder))
        run("cuobjdump", "--extract-elf", arch, os.path.abspath(path), cwd=folder)
        names = sorted(set(os.listdir(folder)) - before)
        if not names:
            raise Unreadable(f"{path} has no code for {arch}")
        self.arch = arch
        self.files = [os.path.join(folder, name) for name in names]
        self.cubins = [Cubin(file) for file in self.files]

    def kernel(self, symbol, variables):
        """A kernel's code; `variables` has the addresses of variables by name."""
        for file, cubin in zip(self.files, self.cubins):
            if f".text.{symbol}" in cubin.sections:
                code = parse(run("cuobjdump", "--dump-sass", "--function", symbol, file).splitlines())[symbol]
                code.arch = self.arch
                code.constants = cubin.section(f".nv.constant2.{symbol}")
                self._relocate(code, cubin, variables)
                return code
        raise Unreadable(f"the library has no {symbol} for {self.arch}; are the snapshots of the same sources?")

    @staticmethod
    def _relocate(code, cubin, variables):
        addresses = {variable_key(name): address for name, address in variables.items()}
        by_address = {instruction.address: instruction for instruction in code.instructions}
        for place, name, kind in cubin.relocations(code.symbol):
            address = addresses.get(variable_key(name))
            if kind not in (Cubin.LOW, Cubin.HIGH) or place not in by_address or address is None:
                raise Unreadable(f"{code.symbol}: the relocation of {name}, of kind {kind:#x}, is not known")
            half = address & 0xFFFFFFFF if kind == Cubin.LOW else address >> 32
            for operand in by_address[place].operands:
                if operand.kind == "number":
                    operand.value += half
