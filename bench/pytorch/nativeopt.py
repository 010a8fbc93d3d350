"""NativeOpt's C ABI through ctypes, for tensors of torch and arrays of numpy: as much of it as the scripts here need.

    library = Library("artifacts/cmake/cuda/native/libnativeopt.so")  # or what NATIVEOPT_LIBRARY names
    with ParamSet(library, params) as parameters, Optimizer(parameters, "adam", lr=1e-4) as optimizer:
        parameters.bind("grad", grads)
        optimizer.bind("exp_avg", exp_avgs)
        optimizer.bind("exp_avg_sq", exp_avg_sqs)
        optimizer.set("beta1", 0.95)
        optimizer.step(stream)

The library describes its rules, roles and element types, and they are named here as it names them: Library.rules has
the hyperparameters, flags, states and inputs of each rule.

This module imports neither torch nor numpy: whatever has data_ptr(), numel(), dtype, device and is_contiguous() is a
tensor, and so is whatever has __array_interface__.
native/include/nativeopt/nativeopt.h says what each function does.
"""

from __future__ import annotations

import ctypes
import enum
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from ctypes import POINTER, byref, c_char_p, c_double, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

ABI_VERSION = 2

# The lengths of arrays in structs, as the header has them.
MAX_HYPERPARAMS = 12
MAX_RUNNING = 4


class Status(enum.IntEnum):
    OK = 0
    ERROR_INVALID_ARGUMENT = 1
    ERROR_OUT_OF_MEMORY = 2
    ERROR_UNAVAILABLE = 3
    ERROR_UNSUPPORTED = 4
    ERROR_MISSING_ROLE = 5
    ERROR_OVERLAP = 6
    ERROR_BUSY = 7
    ERROR_DEVICE = 8
    ERROR_INTERNAL = 9
    ERROR_INVALID_STATE = 10


class Backend(enum.IntEnum):
    CPU = 0
    CUDA = 1


class GradFlag(enum.IntFlag):
    CLIP_NORM = 1
    CLIP_VALUE = 2
    SKIP_NONFINITE = 4


class DimerScope(enum.IntEnum):
    GLOBAL = 0
    PER_TENSOR = 1


class DimerRotation(enum.IntEnum):
    MINIMUM_CURVATURE = 0
    MAXIMUM_CURVATURE = 1


class DimerForce(enum.IntEnum):
    DIFFERENCE = 0
    PER_DISPLACEMENT = 1


class DimerAngle(enum.IntEnum):
    FIXED_RATE = 0
    OPTIMAL = 1
    CONJUGATE = 2


class DimerCorrection(enum.IntEnum):
    PUBLISHED = 0
    ESCAPE = 1


class Struct(ctypes.Structure):
    """A struct of the header, whose first field is its size."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(type(self)), **fields)


Info = TypeVar("Info", bound=Struct)


def by_name(describe: Callable[[int, Any], int], kind: type[Info], count: int) -> dict[str, Info]:
    """What describe(index, info) says of each index below count, by its name."""
    found = {}
    for i in range(count):
        info = kind()
        describe(i, byref(info))
        found[info.name.decode()] = info
    return found


class DTypeInfo(Struct):
    """nopt_dtype_info."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("dtype", c_int32),
        ("name", c_char_p),
        ("block_elements", c_int32),
        ("block_extra_bytes", c_int32),
        ("element_bytes", c_int32),
        ("alignment", c_int32),
    ]

    @property
    def torch_name(self) -> str:
        """The name of torch's type of a tensor that holds it. Blocks are bytes."""
        return "torch.uint8" if self.block_elements > 1 else f"torch.{self.name.decode()}"


class RoleInfo(Struct):
    """nopt_role_info."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("role", c_int32),
        ("name", c_char_p),
        ("meaning", c_char_p),
        ("dtypes", c_uint32),
        ("is_written", c_int32),
        ("may_be_null", c_int32),
        ("is_of_dimer", c_int32),
    ]


class RuleInfo(Struct):
    """nopt_rule_info."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("hyperparam_count", c_int32),
        ("flag_count", c_int32),
        ("state_count", c_int32),
        ("input_count", c_int32),
        ("running_count", c_int32),
        ("reserved", c_int32),
        ("name", c_char_p),
        ("source", c_char_p),
        ("equations", c_char_p),
    ]


class HyperparamInfo(Struct):
    """nopt_hyperparam_info."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("index", c_int32),
        ("name", c_char_p),
        ("meaning", c_char_p),
        ("default_value", c_double),
        ("min", c_double),
        ("max", c_double),
        ("max_is_excluded", c_int32),
        ("is_integer", c_int32),
        ("selects_states", c_int32),
        ("reserved", c_int32),
    ]


class FlagInfo(Struct):
    """nopt_flag_info."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flag", c_uint32),
        ("name", c_char_p),
        ("meaning", c_char_p),
        ("needed_hyperparam", c_int32),
        ("selects_states", c_int32),
    ]


class StateInfo(Struct):
    """nopt_state_info."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("role", c_int32),
        ("name", c_char_p),
        ("meaning", c_char_p),
        ("is_signed", c_int32),
        ("dtypes", c_uint32),
        ("initial_hyperparam", c_int32),
        ("needed_flag", c_uint32),
        ("initial_value", c_double),
        ("needed_hyperparam", c_int32),
        ("reserved", c_int32),
        ("needed_above", c_double),
    ]


class InputInfo(Struct):
    """nopt_input_info."""

    _fields_ = [("struct_size", c_uint32), ("role", c_int32), ("name", c_char_p), ("meaning", c_char_p)]


class RunningInfo(Struct):
    """nopt_running_info."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("index", c_int32),
        ("name", c_char_p),
        ("meaning", c_char_p),
        ("initial_value", c_double),
    ]


class Role(NamedTuple):
    """What a buffer of each parameter is for: one of Library.roles, or a state or an input of a rule."""

    number: int
    name: str
    may_be_none: bool


class Rule:
    """An update rule as the library describes it: what it has, by name and in its order."""

    def __init__(self, library: Library, index: int) -> None:
        info = RuleInfo()
        library.nopt_rule_get_info(index, byref(info))
        self.library = library
        self.name = info.name.decode()
        self.source = info.source.decode()
        self.equations = info.equations.decode()

        def described(function: Callable[..., int], kind: type[Info], count: int) -> dict[str, Info]:
            return by_name(lambda i, found: function(info.name, i, found), kind, count)

        self.hyperparams = described(library.nopt_rule_get_hyperparam, HyperparamInfo, info.hyperparam_count)
        self.flags = described(library.nopt_rule_get_flag, FlagInfo, info.flag_count)
        self.states = described(library.nopt_rule_get_state, StateInfo, info.state_count)
        self.inputs = described(library.nopt_rule_get_input, InputInfo, info.input_count)
        self.running = described(library.nopt_rule_get_running, RunningInfo, info.running_count)

    def role(self, name: str) -> Role:
        """A state of the rule, or a role that every rule has."""
        if name in self.states:
            return Role(self.states[name].role, name, False)
        return self.library.role(name, self.states)

    def input_role(self, name: str) -> Role:
        if name not in self.inputs:
            known = ", ".join(self.inputs) or "none"
            raise ValueError(f"rule {self.name} has no input {name!r}; it has {known}")
        return Role(self.inputs[name].role, name, True)


class Hyperparams(Struct):
    """nopt_hyperparams of a rule, by name. Library.defaults makes them."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("rounding_seed", c_uint64),
        ("values", c_double * MAX_HYPERPARAMS),
    ]

    rule: Rule

    def set(self, name: str, value: float) -> None:
        """Sets a hyperparameter of the rule, a flag of it (True or False), or the rounding_seed."""
        if name == "rounding_seed":
            self.rounding_seed = int(value)
            return
        of_rule = (self.rule.name.encode(), byref(self), name.encode())
        if name in self.rule.flags:
            self.rule.library.nopt_hyperparams_set_flag(*of_rule, int(value))
        else:
            self.rule.library.nopt_hyperparams_set(*of_rule, value)

    def get(self, name: str) -> float:
        """What set() sets."""
        if name == "rounding_seed":
            return self.rounding_seed
        if name in self.rule.flags:
            return bool(self.flags & self.rule.flags[name].flag)
        if name not in self.rule.hyperparams:
            known = ", ".join([*self.rule.hyperparams, *self.rule.flags])
            raise ValueError(f"rule {self.rule.name} has no {name}; it has {known}")
        return self.values[self.rule.hyperparams[name].index]

    def states(self) -> dict[str, StateInfo]:
        """The rule's states that a step with these hyperparameters needs."""
        return {name: info for name, info in self.rule.states.items() if self._needs(info)}

    def _needs(self, state: StateInfo) -> bool:
        if state.needed_flag and not self.flags & state.needed_flag:
            return False
        return state.needed_hyperparam < 0 or self.values[state.needed_hyperparam] > state.needed_above


class StepState(Struct):
    """nopt_step_state."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("step", c_int64),
        ("running", c_double * MAX_RUNNING),
    ]


class GradOptions(Struct):
    """nopt_grad_options."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("max_norm", c_double),
        ("max_value", c_double),
        ("loss_scale", c_double),
    ]


class GradStatus(Struct):
    """nopt_grad_status."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("skipped", c_uint32),
        ("skipped_steps", c_int64),
        ("norm", c_double),
        ("clip_coefficient", c_double),
    ]


class DimerOptions(Struct):
    """nopt_dimer_options."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("rotation", c_int32),
        ("force", c_int32),
        ("angle", c_int32),
        ("correction", c_int32),
        ("reserved", c_uint32),
        ("displacement", c_double),
        ("rotation_rate", c_double),
        ("alpha", c_double),
    ]


class DimerStatus(Struct):
    """nopt_dimer_status."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("step", c_int64),
        ("curvature", c_double),
        ("grad_dot_direction", c_double),
        ("angle", c_double),
    ]


STRUCTS: dict[str, type[Struct]] = {
    "nopt_dtype_info": DTypeInfo,
    "nopt_role_info": RoleInfo,
    "nopt_rule_info": RuleInfo,
    "nopt_hyperparam_info": HyperparamInfo,
    "nopt_flag_info": FlagInfo,
    "nopt_state_info": StateInfo,
    "nopt_input_info": InputInfo,
    "nopt_running_info": RunningInfo,
    "nopt_hyperparams": Hyperparams,
    "nopt_step_state": StepState,
    "nopt_grad_options": GradOptions,
    "nopt_grad_status": GradStatus,
    "nopt_dimer_options": DimerOptions,
    "nopt_dimer_status": DimerStatus,
}

# Functions that return a count, and take nothing.
COUNTS = ("nopt_dtype_count", "nopt_role_count", "nopt_rule_count")

# Functions that return a nopt_status, with the types of their arguments.
FUNCTIONS: dict[str, list[Any]] = {
    "nopt_dtype_get_info": [c_int32, POINTER(DTypeInfo)],
    "nopt_role_get_info": [c_int32, POINTER(RoleInfo)],
    "nopt_rule_get_info": [c_int32, POINTER(RuleInfo)],
    "nopt_rule_get_hyperparam": [c_char_p, c_int32, POINTER(HyperparamInfo)],
    "nopt_rule_get_flag": [c_char_p, c_int32, POINTER(FlagInfo)],
    "nopt_rule_get_state": [c_char_p, c_int32, POINTER(StateInfo)],
    "nopt_rule_get_input": [c_char_p, c_int32, POINTER(InputInfo)],
    "nopt_rule_get_running": [c_char_p, c_int32, POINTER(RunningInfo)],
    "nopt_hyperparams_set": [c_char_p, POINTER(Hyperparams), c_char_p, c_double],
    "nopt_hyperparams_set_flag": [c_char_p, POINTER(Hyperparams), c_char_p, c_int32],
    "nopt_cpu_set_num_threads": [c_int32],
    "nopt_param_set_create": [c_int32, c_int32, c_int64, POINTER(c_int64), c_void_p, POINTER(c_void_p)],
    "nopt_param_set_destroy": [c_void_p],
    "nopt_dtype_get_bytes": [c_int32, c_int64, POINTER(c_int64)],
    "nopt_param_set_set_dtypes": [c_void_p, c_int32, c_int64, c_void_p],
    "nopt_param_set_bind": [c_void_p, c_int32, c_int64, POINTER(c_void_p)],
    "nopt_param_set_set_lr_scale": [c_void_p, c_int64, POINTER(c_double)],
    "nopt_param_set_set_weight_decay": [c_void_p, c_int64, POINTER(c_double)],
    "nopt_rule_get_defaults": [c_char_p, POINTER(Hyperparams)],
    "nopt_optimizer_create": [c_void_p, c_char_p, POINTER(c_void_p)],
    "nopt_optimizer_destroy": [c_void_p],
    "nopt_optimizer_get_roles": [c_void_p, POINTER(Hyperparams), POINTER(c_uint32)],
    "nopt_optimizer_get_state": [c_void_p, POINTER(StepState)],
    "nopt_optimizer_set_state": [c_void_p, POINTER(StepState)],
    "nopt_optimizer_get_tensor_states": [c_void_p, c_int64, POINTER(StepState)],
    "nopt_optimizer_set_tensor_states": [c_void_p, c_int64, POINTER(StepState)],
    "nopt_optimizer_set_capturable": [c_void_p, c_int32, c_void_p],
    "nopt_optimizer_step": [c_void_p, POINTER(Hyperparams), c_void_p],
    "nopt_optimizer_set_grad_options": [c_void_p, POINTER(GradOptions)],
    "nopt_optimizer_get_grad_status": [c_void_p, POINTER(GradStatus)],
    "nopt_dimer_create": [c_void_p, c_int32, POINTER(c_void_p)],
    "nopt_dimer_destroy": [c_void_p],
    "nopt_dimer_get_defaults": [POINTER(DimerOptions)],
    "nopt_dimer_init_direction": [c_void_p, c_uint64, c_int64, c_void_p],
    "nopt_dimer_normalize_direction": [c_void_p, c_void_p],
    "nopt_dimer_displace": [c_void_p, POINTER(DimerOptions), c_void_p],
    "nopt_dimer_rotate": [c_void_p, POINTER(DimerOptions), POINTER(Hyperparams), c_void_p],
    "nopt_dimer_step": [c_void_p, POINTER(DimerOptions), POINTER(Hyperparams), c_void_p],
    "nopt_dimer_restore": [c_void_p, c_void_p],
    "nopt_dimer_get_roles": [c_void_p, POINTER(DimerOptions), POINTER(c_uint32)],
    "nopt_dimer_get_status": [c_void_p, c_int64, POINTER(DimerStatus)],
}


class LibraryError(RuntimeError):
    """The native library is not there, or is not the one that this module was written for."""


class NativeOptError(RuntimeError):
    """A call failed; the message is the library's."""

    def __init__(self, function: str, status: int, message: str) -> None:
        name = Status(status).name if status in list(Status) else f"status {status}"
        super().__init__(f"{function}: {message} ({name})")
        self.status = status


def check_layout(layout: str, structs: dict[str, type[Struct]] = STRUCTS) -> None:
    """Compares structs with the text of nopt_abi_layout(). The library's may have more fields at the end."""
    sizes: dict[str, int] = {}
    fields: dict[str, dict[str, tuple[int, int]]] = {}
    current = ""
    for line in layout.splitlines():
        kind, name, *numbers = line.split()
        if kind == "struct":
            current = name
            sizes[current] = int(numbers[0])
            fields[current] = {}
        elif kind == "field":
            fields[current][name] = (int(numbers[0]), int(numbers[1]))
    for name, struct in structs.items():
        if name not in sizes:
            raise LibraryError(f"the library has no struct {name}; build it from this repository")
        if sizes[name] < ctypes.sizeof(struct):
            raise LibraryError(
                f"{name} has {sizes[name]} bytes in the library and {ctypes.sizeof(struct)} in nativeopt.py; "
                "build the library from this repository"
            )
        for field, *_ in struct._fields_:
            ours = (getattr(struct, field).offset, getattr(struct, field).size)
            theirs = fields[name].get(field)
            if theirs != ours:
                where = "is not there" if theirs is None else f"is {theirs[1]} bytes at offset {theirs[0]}"
                raise LibraryError(
                    f"{name}.{field} {where} in the library, and {ours[1]} bytes at offset {ours[0]} in "
                    "nativeopt.py; build the library from this repository"
                )


class Library:
    """The loaded native library."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Loads `path`, or what NATIVEOPT_LIBRARY names, and checks that it is what this module knows."""
        chosen = path or os.environ.get("NATIVEOPT_LIBRARY")
        if not chosen:
            raise LibraryError(
                "no native library was named; give --library PATH or set NATIVEOPT_LIBRARY ("
                "cmake --preset cuda && cmake --build --preset cuda --target nativeopt "
                "builds artifacts/cmake/cuda/native/libnativeopt.so)"
            )
        try:
            self._library = ctypes.CDLL(str(pathlib.Path(chosen).resolve()))
        except OSError as error:
            raise LibraryError(f"the native library {chosen} cannot be loaded: {error}") from error
        try:
            self._check_version()
            for name, arguments in FUNCTIONS.items():
                function = getattr(self._library, name)
                function.argtypes = arguments
                function.restype = c_int32
                function.errcheck = self._raise_on_failure
            for name in COUNTS:
                getattr(self._library, name).restype = c_int32
        except AttributeError as error:
            raise LibraryError(f"{chosen} lacks a function of NativeOpt: {error}") from error
        check_layout(self._text("nopt_abi_layout"))
        self.version = self._text("nopt_version")
        self.build_info = self._text("nopt_build_info")
        self.dtypes = by_name(self.nopt_dtype_get_info, DTypeInfo, self.nopt_dtype_count())
        self.roles = by_name(self.nopt_role_get_info, RoleInfo, self.nopt_role_count())
        rules = [Rule(self, i) for i in range(self.nopt_rule_count())]
        self.rules = {rule.name: rule for rule in rules}

    def _check_version(self) -> None:
        self._library.nopt_abi_version.restype = c_uint32
        version = self._library.nopt_abi_version()
        if version != ABI_VERSION:
            raise LibraryError(
                f"the library has ABI version {version}, nativeopt.py knows {ABI_VERSION}; build it anew"
            )

    def _text(self, name: str) -> str:
        function = getattr(self._library, name)
        function.restype = c_char_p
        return function().decode()

    def _raise_on_failure(self, status: int, function: Any, arguments: Any) -> int:
        if status != Status.OK:
            raise NativeOptError(function.__name__, status, self._text("nopt_last_error_message"))
        return status

    def __getattr__(self, name: str) -> Any:
        """A function of the header, by its name."""
        if name not in FUNCTIONS and name not in COUNTS:
            raise AttributeError(name)
        return getattr(self._library, name)

    def defaults(self, rule: str, **changes: float) -> Hyperparams:
        """The rule's default hyperparameters, with changes: of hyperparameters and flags by name."""
        hyperparams = Hyperparams()
        self.nopt_rule_get_defaults(rule.encode(), byref(hyperparams))
        hyperparams.rule = self.rules[rule]
        for name, value in changes.items():
            hyperparams.set(name, value)
        return hyperparams

    def role(self, name: str, of_rule: Iterable[str] = ()) -> Role:
        """The role of that name which every rule has. An error names those `of_rule`, too."""
        if name not in self.roles:
            hint = "" if of_rule else "; Optimizer.bind knows the states of its rule, too"
            raise ValueError(f"{name!r} is no role; {', '.join([*self.roles, *of_rule])} are{hint}")
        return Role(self.roles[name].role, name, bool(self.roles[name].may_be_null))

    def dtype_of(self, tensor: Tensor) -> str:
        """The element type that a tensor of torch holds. Bytes, torch.uint8, are blocks of a state."""
        for name, info in self.dtypes.items():
            if str(tensor.dtype) == info.torch_name:
                return name
        known = ", ".join(info.torch_name for info in self.dtypes.values())
        raise ValueError(f"{tensor.dtype} is no type of NativeOpt; {known} are")

    def buffer_bytes(self, dtype: str, count: int) -> int:
        """The bytes of a buffer of `count` elements."""
        found = c_int64()
        self.nopt_dtype_get_bytes(self.dtypes[dtype].dtype, count, byref(found))
        return found.value

    def dimer_defaults(self, **changes: float) -> DimerOptions:
        """The published settings of the dimer, with changes."""
        options = DimerOptions()
        self.nopt_dimer_get_defaults(byref(options))
        for name, value in changes.items():
            setattr(options, name, value)
        return options


class Handle:
    """What the library creates and destroys. Leaving a `with` block closes it."""

    def __init__(self, library: Library, destroy: str) -> None:
        self.library = library
        self.handle = c_void_p()
        self._destroy = destroy

    def close(self) -> None:
        if self.handle:
            handle, self.handle = self.handle, c_void_p()
            getattr(self.library, self._destroy)(handle)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HostDevice(NamedTuple):
    """Where arrays of numpy are."""

    type: str = "cpu"
    index: int | None = None


class ArrayTensor:
    """An array of numpy as a tensor, which keeps it alive."""

    device = HostDevice()

    def __init__(self, array: Any) -> None:
        self._array = array
        self.dtype = f"torch.{array.dtype}"

    def data_ptr(self) -> int:
        return self._array.__array_interface__["data"][0]

    def numel(self) -> int:
        return self._array.size

    def is_contiguous(self) -> bool:
        return self._array.flags.c_contiguous


def as_tensor(value: Any) -> Any:
    """An array of numpy as a tensor; anything else as it is."""
    return ArrayTensor(value) if hasattr(value, "__array_interface__") else value


# Roles whose element types are always those of another one.
SAME_TYPES = {"param_backup": "param", "grad_displaced": "grad", "grad_backup": "grad"}

# This role holds no numbers, but 16 bits of one.
REMAINDER = "param_remainder"


def addresses(tensors: Sequence[Tensor | None]) -> ctypes.Array[c_void_p]:
    """The tensors' addresses, as nopt_param_set_bind takes them; null for None."""
    return (c_void_p * len(tensors))(*[None if tensor is None else tensor.data_ptr() for tensor in tensors])


class ParamSet(Handle):
    """Parameters on one device, and the buffers of each role that belong to them.

    Parameters are of float32, bfloat16 or float16, each of its own, and so are their gradients unless set_dtypes
    says otherwise. Remainders are int16 (or uint16), all else is float32 unless set_dtypes says otherwise.
    States of dynamic8 are uint8, of as many bytes as Library.buffer_bytes says.

    Roles are named as in Library.roles. The states and inputs of a rule are bound through its Optimizer.
    """

    def __init__(self, library: Library, params: Iterable[Tensor]) -> None:
        super().__init__(library, "nopt_param_set_destroy")
        params = [as_tensor(param) for param in params]
        self._bound: dict[int, Sequence[Tensor | None]] = {}
        param_dtypes = [library.dtype_of(param) for param in params]
        self._param, self._grad = library.role("param").number, library.role("grad").number
        self._dtypes: dict[int, list[str]] = {self._param: param_dtypes, self._grad: param_dtypes}
        self.counts = [param.numel() for param in params]
        self.device = params[0].device if params else None
        kind = "cpu" if self.device is None else self.device.type
        if kind not in ("cpu", "cuda"):
            raise ValueError(f"params are on device {kind}; NativeOpt has the backends cpu and cuda")
        library.nopt_param_set_create(
            Backend[kind.upper()],
            (self.device.index if self.device is not None else None) or 0,
            len(params),
            (c_int64 * len(params))(*self.counts),
            self._c_dtypes(param_dtypes),
            byref(self.handle),
        )
        try:
            self.bind("param", params)
        except Exception:
            self.close()
            raise

    def _c_dtypes(self, dtypes: Sequence[str]) -> ctypes.Array[c_int32]:
        known = self.library.dtypes
        for dtype in dtypes:
            if dtype not in known:
                raise ValueError(f"{dtype!r} is no type of NativeOpt; {', '.join(known)} are")
        return (c_int32 * len(dtypes))(*[known[dtype].dtype for dtype in dtypes])

    def _role(self, role: Role | str) -> Role:
        return self.library.role(role) if isinstance(role, str) else role

    def set_dtypes(self, role: Role | str, dtypes: Sequence[str] | None) -> None:
        """Sets the types of a role that is not bound: of gradients, states or inputs. None: what they were at first."""
        number, name, _ = self._role(role)
        if dtypes is not None and len(dtypes) != len(self.counts):
            raise ValueError(f"{name}: there are {len(dtypes)} types for {len(self.counts)} parameters")
        self.library.nopt_param_set_set_dtypes(
            self.handle, number, len(self.counts), None if dtypes is None else self._c_dtypes(dtypes)
        )
        if dtypes is not None:
            self._dtypes[number] = list(dtypes)
        elif number == self._grad:
            self._dtypes[number] = self._dtypes[self._param]
        else:
            self._dtypes.pop(number, None)

    def _dtype(self, role: Role, i: int) -> str:
        """The element type of tensor i of a role, but of a remainder, which is no number."""
        same = SAME_TYPES.get(role.name)
        dtypes = self._dtypes.get(role.number if same is None else self.library.role(same).number)
        return "float32" if dtypes is None else dtypes[i]

    def bind(self, role: Role | str, tensors: Sequence[Tensor | None] | None) -> None:
        """Binds one tensor for each parameter, or none at all; keeps them alive as long as they are bound.

        A gradient that is None freezes its parameter; a master or a remainder that is None is none, and where an input
        is None the step does without.
        """
        role = self._role(role)
        number, name, may_be_none = role
        if tensors is None:
            self.library.nopt_param_set_bind(self.handle, number, len(self.counts), None)
            self._bound.pop(number, None)
            return
        if len(tensors) != len(self.counts):
            raise ValueError(f"{name}: there are {len(tensors)} tensors for {len(self.counts)} parameters")
        tensors = [as_tensor(tensor) for tensor in tensors]
        for i, (tensor, count) in enumerate(zip(tensors, self.counts)):
            if tensor is None:
                if not may_be_none:
                    raise ValueError(f"{name}[{i}] is None; pass a tensor of {count} elements")
                continue
            self._check(f"{name}[{i}]", tensor, count, self._dtype(role, i), is_remainder=name == REMAINDER)
        self.bind_addresses(role, addresses(tensors))
        self._bound[number] = tensors

    def _check(self, what: str, tensor: Tensor, count: int, dtype: str, is_remainder: bool) -> None:
        info = self.library.dtypes[dtype]
        expected = ("torch.int16", "torch.uint16") if is_remainder else (info.torch_name,)
        if str(tensor.dtype) not in expected:
            raise ValueError(
                f"{what} is {tensor.dtype}, expected is {' or '.join(expected)}; "
                "convert it, or call set_dtypes before where the role may have other types"
            )
        if info.block_elements > 1:
            size = self.library.buffer_bytes(dtype, count)
            if tensor.numel() != size:
                raise ValueError(
                    f"{what} has {tensor.numel()} bytes, {dtype} takes {size} for the {count} elements of its parameter"
                )
        elif tensor.numel() != count:
            raise ValueError(f"{what} has {tensor.numel()} elements, its parameter {count}")
        if not tensor.is_contiguous():
            raise ValueError(f"{what} is not contiguous; pass a contiguous copy")
        if tensor.device != self.device:
            raise ValueError(f"{what} is on {tensor.device}, the parameters are on {self.device}")

    def bind_addresses(self, role: Role | str, pointers: ctypes.Array[c_void_p]) -> None:
        """Binds what addresses() gave. The caller keeps the tensors alive."""
        self.library.nopt_param_set_bind(self.handle, self._role(role).number, len(pointers), pointers)

    def set_lr_scale(self, scales: Sequence[float]) -> None:
        self.library.nopt_param_set_set_lr_scale(self.handle, len(scales), (c_double * len(scales))(*scales))

    def set_weight_decay(self, decays: Sequence[float]) -> None:
        self.library.nopt_param_set_set_weight_decay(
            self.handle, len(decays), (c_double * len(decays))(*decays)
        )


class Optimizer(Handle):
    """A rule over a parameter set, and the hyperparameters of its next step."""

    def __init__(self, parameters: ParamSet, rule: str, **changes: float) -> None:
        """`changes` are those of the rule's default hyperparameters and flags, by name."""
        super().__init__(parameters.library, "nopt_optimizer_destroy")
        self.parameters = parameters
        self.hyperparams = self.library.defaults(rule, **changes)
        self.rule = self.hyperparams.rule
        self._step = self.library.nopt_optimizer_step
        self.library.nopt_optimizer_create(parameters.handle, rule.encode(), byref(self.handle))

    def set(self, name: str, value: float) -> None:
        """Sets a hyperparameter or a flag of the rule for later steps."""
        self.hyperparams.set(name, value)

    def get(self, name: str) -> float:
        """The hyperparameter or the flag as it is."""
        return self.hyperparams.get(name)

    def bind(self, name: str, tensors: Sequence[Tensor | None] | None) -> None:
        """Binds a state of the rule, or a role that every rule has; see ParamSet.bind."""
        self.parameters.bind(self.rule.role(name), tensors)

    def bind_input(self, name: str, tensors: Sequence[Tensor | None] | None) -> None:
        """Binds an input of the rule until it is bound anew; see ParamSet.bind. Steps without it do without."""
        self.parameters.bind(self.rule.input_role(name), tensors)

    def set_dtypes(self, name: str, dtypes: Sequence[str] | None) -> None:
        """Sets the types of a state of the rule, or of gradients; see ParamSet.set_dtypes."""
        self.parameters.set_dtypes(self.rule.role(name), dtypes)

    def set_input_dtypes(self, name: str, dtypes: Sequence[str] | None) -> None:
        """Sets the types of an input of the rule; see ParamSet.set_dtypes."""
        self.parameters.set_dtypes(self.rule.input_role(name), dtypes)

    def step(self, stream: int | None = None) -> None:
        """Takes one step. `stream` is torch.cuda.Stream.cuda_stream, and None on the CPU."""
        self._step(self.handle, self.hyperparams, stream)

    def set_grad_options(self, options: GradOptions | None) -> None:
        """Sets what later steps make of the gradients before anything else. None: nothing."""
        self.library.nopt_optimizer_set_grad_options(self.handle, options)

    @property
    def grad_status(self) -> GradStatus:
        """What became of the gradients, in the newest step that the device has finished."""
        status = GradStatus()
        self.library.nopt_optimizer_get_grad_status(self.handle, byref(status))
        return status

    def set_capturable(self, capturable: bool, stream: int | None = None) -> None:
        """Sets whether the device counts the steps; on CUDA, GradFlag.SKIP_NONFINITE needs it."""
        self.library.nopt_optimizer_set_capturable(self.handle, capturable, stream)

    def roles(self) -> list[str]:
        """The roles that a step needs bound, states included."""
        mask = c_uint32()
        self.library.nopt_optimizer_get_roles(self.handle, self.hyperparams, byref(mask))
        return [name for name, info in {**self.library.roles, **self.rule.states}.items() if mask.value >> info.role & 1]

    @property
    def state(self) -> StepState:
        """The step state of a tensor that has had a gradient in every step."""
        state = StepState()
        self.library.nopt_optimizer_get_state(self.handle, byref(state))
        return state

    @state.setter
    def state(self, state: StepState) -> None:
        self.library.nopt_optimizer_set_state(self.handle, byref(state))

    @property
    def tensor_states(self) -> list[StepState]:
        """The step state of each tensor: it counts the steps in which the tensor had a gradient."""
        count = len(self.parameters.counts)
        states = (StepState * count)(*[StepState() for _ in range(count)])
        self.library.nopt_optimizer_get_tensor_states(self.handle, count, states)
        return list(states)

    @tensor_states.setter
    def tensor_states(self, states: Sequence[StepState]) -> None:
        self.library.nopt_optimizer_set_tensor_states(self.handle, len(states), (StepState * len(states))(*states))


class Dimer(Handle):
    """A dimer around an optimizer."""

    def __init__(self, optimizer: Optimizer, scope: DimerScope = DimerScope.GLOBAL) -> None:
        super().__init__(optimizer.library, "nopt_dimer_destroy")
        self.optimizer = optimizer
        self.library.nopt_dimer_create(optimizer.handle, scope, byref(self.handle))

    def init_direction(self, seed: int, stream: int | None = None) -> None:
        """Draws the direction and normalizes it."""
        self.library.nopt_dimer_init_direction(self.handle, seed, 0, stream)
        self.library.nopt_dimer_normalize_direction(self.handle, stream)

    def displace(self, options: DimerOptions, stream: int | None = None) -> None:
        self.library.nopt_dimer_displace(self.handle, options, stream)

    def rotate(self, options: DimerOptions, stream: int | None = None) -> None:
        self.library.nopt_dimer_rotate(self.handle, options, self.optimizer.hyperparams, stream)

    def step(self, options: DimerOptions, stream: int | None = None) -> None:
        """Takes a step with the optimizer's hyperparameters."""
        self.library.nopt_dimer_step(self.handle, options, self.optimizer.hyperparams, stream)

    def restore(self, stream: int | None = None) -> None:
        self.library.nopt_dimer_restore(self.handle, stream)

    def roles(self, options: DimerOptions) -> list[str]:
        """The roles that calls with these options need bound, beside the optimizer's."""
        mask = c_uint32()
        self.library.nopt_dimer_get_roles(self.handle, options, byref(mask))
        return [name for name, info in self.library.roles.items() if mask.value >> info.role & 1]

    def status(self, scope: int = 0) -> DimerStatus:
        """The scope's values, of the newest call that the device has finished."""
        status = DimerStatus()
        self.library.nopt_dimer_get_status(self.handle, scope, byref(status))
        return status
