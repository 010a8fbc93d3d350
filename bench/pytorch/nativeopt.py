"""NativeOpt's C ABI through ctypes, for tensors of torch: as much of it as the scripts here need.

    library = Library("artifacts/cmake/cuda/native/libnativeopt.so")  # or what NATIVEOPT_LIBRARY names
    with ParamSet(library, params) as parameters, Optimizer(parameters, "adam") as optimizer:
        parameters.bind(Role.GRAD, grads)
        parameters.bind(Role.EXP_AVG, exp_avgs)
        parameters.bind(Role.EXP_AVG_SQ, exp_avg_sqs)
        optimizer.step(library.defaults("adam"), stream)

It does not import torch: whatever has data_ptr(), numel(), dtype, device and is_contiguous() is a tensor.
native/include/nativeopt/nativeopt.h says what each function does.
"""

from __future__ import annotations

import ctypes
import enum
import os
import pathlib
from collections.abc import Iterable, Sequence
from ctypes import POINTER, byref, c_char_p, c_double, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

ABI_VERSION = 1


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


class DType(enum.IntEnum):
    FLOAT32 = 1
    BFLOAT16 = 2
    FLOAT16 = 3
    DYNAMIC8 = 4

    @classmethod
    def of(cls, tensor: Tensor) -> DType:
        """The tensor's element type. Bytes, torch.uint8, are a DYNAMIC8 state."""
        for dtype in cls:
            if str(tensor.dtype) == dtype.torch_name:
                return dtype
        raise ValueError(
            f"{tensor.dtype} is no type of NativeOpt; torch.float32, bfloat16, float16 are, and uint8 for states"
        )

    @property
    def torch_name(self) -> str:
        """Of torch's type of a tensor that holds it."""
        return "torch.uint8" if self == DType.DYNAMIC8 else f"torch.{self.name.lower()}"


class Role(enum.IntEnum):
    PARAM = 0
    GRAD = 1
    EXP_AVG = 2
    EXP_AVG_SQ = 3
    MAX_EXP_AVG_SQ = 4
    MOMENTUM_BUFFER = 5
    DIRECTION = 6
    GRAD_DISPLACED = 7
    PARAM_BACKUP = 8
    GRAD_BACKUP = 9
    ROTATION_DIRECTION = 10
    MASTER_PARAM = 11
    PARAM_REMAINDER = 12


class Flag(enum.IntFlag):
    AMSGRAD = 1
    MAXIMIZE = 2
    DECOUPLED_WEIGHT_DECAY = 4
    NESTEROV = 8
    INVERSE_EPSILON = 16
    STOCHASTIC_ROUNDING = 32


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


class DimerCorrection(enum.IntEnum):
    PUBLISHED = 0
    ESCAPE = 1


class Struct(ctypes.Structure):
    """A struct of the header, whose first field is its size."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(type(self)), **fields)


class Hyperparams(Struct):
    """nopt_hyperparams."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("lr", c_double),
        ("beta1", c_double),
        ("beta2", c_double),
        ("eps", c_double),
        ("weight_decay", c_double),
        ("momentum", c_double),
        ("switching_rate", c_double),
        ("rounding_seed", c_uint64),
    ]


class StepState(Struct):
    """nopt_step_state."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("step", c_int64),
        ("beta1_product", c_double),
        ("beta2_product", c_double),
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
    "nopt_hyperparams": Hyperparams,
    "nopt_step_state": StepState,
    "nopt_grad_options": GradOptions,
    "nopt_grad_status": GradStatus,
    "nopt_dimer_options": DimerOptions,
    "nopt_dimer_status": DimerStatus,
}

# What returns a nopt_status, with the types of its arguments.
FUNCTIONS: dict[str, list[Any]] = {
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
        except AttributeError as error:
            raise LibraryError(f"{chosen} lacks a function of NativeOpt: {error}") from error
        check_layout(self._text("nopt_abi_layout"))
        self.version = self._text("nopt_version")
        self.build_info = self._text("nopt_build_info")

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
        if name not in FUNCTIONS:
            raise AttributeError(name)
        return getattr(self._library, name)

    def defaults(self, rule: str, **changes: float) -> Hyperparams:
        """The rule's default hyperparameters, with changes."""
        hyperparams = Hyperparams()
        self.nopt_rule_get_defaults(rule.encode(), byref(hyperparams))
        for name, value in changes.items():
            setattr(hyperparams, name, value)
        return hyperparams

    def buffer_bytes(self, dtype: DType, count: int) -> int:
        """The bytes of a buffer of `count` elements."""
        found = c_int64()
        self.nopt_dtype_get_bytes(dtype, count, byref(found))
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


# Roles in which a tensor may be None.
OPTIONAL = (Role.GRAD, Role.MASTER_PARAM, Role.PARAM_REMAINDER)


def addresses(tensors: Sequence[Tensor | None]) -> ctypes.Array[c_void_p]:
    """The tensors' addresses, as nopt_param_set_bind takes them; null for None."""
    return (c_void_p * len(tensors))(*[None if tensor is None else tensor.data_ptr() for tensor in tensors])


def c_dtypes(dtypes: Sequence[DType]) -> ctypes.Array[c_int32]:
    return (c_int32 * len(dtypes))(*dtypes)


def roles_of(function: Any, handle: c_void_p, options: Struct) -> list[Role]:
    mask = c_uint32()
    function(handle, options, byref(mask))
    return [role for role in Role if mask.value >> role & 1]


class ParamSet(Handle):
    """Parameters on one device, and the buffers of each role that belong to them.

    Parameters are of float32, bfloat16 or float16, each of its own, and so are their gradients unless set_dtypes
    says otherwise. Remainders are int16 (or uint16), all else is float32 unless set_dtypes says otherwise.
    States of DYNAMIC8 are uint8, of as many bytes as Library.buffer_bytes says.
    """

    def __init__(self, library: Library, params: Iterable[Tensor]) -> None:
        super().__init__(library, "nopt_param_set_destroy")
        params = list(params)
        self._bound: dict[Role, Sequence[Tensor | None]] = {}
        param_dtypes = [DType.of(param) for param in params]
        self._dtypes: dict[Role, list[DType]] = {Role.PARAM: param_dtypes, Role.GRAD: param_dtypes}
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
            c_dtypes(param_dtypes),
            byref(self.handle),
        )
        try:
            self.bind(Role.PARAM, params)
        except Exception:
            self.close()
            raise

    def set_dtypes(self, role: Role, dtypes: Sequence[DType] | None) -> None:
        """Sets the types of a role that is not bound: of gradients, or of states. None: what they were at first."""
        if dtypes is not None and len(dtypes) != len(self.counts):
            raise ValueError(f"{role.name}: there are {len(dtypes)} types for {len(self.counts)} parameters")
        self.library.nopt_param_set_set_dtypes(
            self.handle, role, len(self.counts), None if dtypes is None else c_dtypes(dtypes)
        )
        if dtypes is not None:
            self._dtypes[role] = list(dtypes)
        elif role == Role.GRAD:
            self._dtypes[role] = self._dtypes[Role.PARAM]
        else:
            self._dtypes.pop(role, None)

    def _dtype(self, role: Role, i: int) -> DType:
        """Of tensor i of a role, but of a remainder, which is no number."""
        same_as = {
            Role.PARAM_BACKUP: Role.PARAM,
            Role.GRAD_DISPLACED: Role.GRAD,
            Role.GRAD_BACKUP: Role.GRAD,
        }
        dtypes = self._dtypes.get(same_as.get(role, role))
        return DType.FLOAT32 if dtypes is None else dtypes[i]

    def bind(self, role: Role, tensors: Sequence[Tensor | None] | None) -> None:
        """Binds one tensor for each parameter, or none at all; keeps them alive as long as they are bound.

        A gradient that is None freezes its parameter; a master or a remainder that is None is none.
        """
        if tensors is None:
            self.library.nopt_param_set_bind(self.handle, role, len(self.counts), None)
            self._bound.pop(role, None)
            return
        if len(tensors) != len(self.counts):
            raise ValueError(
                f"{role.name}: there are {len(tensors)} tensors for {len(self.counts)} parameters"
            )
        for i, (tensor, count) in enumerate(zip(tensors, self.counts)):
            if tensor is None:
                if role not in OPTIONAL:
                    raise ValueError(f"{role.name}[{i}] is None; pass a tensor of {count} elements")
                continue
            dtype = self._dtype(role, i)
            is_remainder = role == Role.PARAM_REMAINDER
            expected = ("torch.int16", "torch.uint16") if is_remainder else (dtype.torch_name,)
            if str(tensor.dtype) not in expected:
                raise ValueError(
                    f"{role.name}[{i}] is {tensor.dtype}, expected is {' or '.join(expected)}; "
                    "convert it, or call set_dtypes before where the role may have other types"
                )
            if dtype == DType.DYNAMIC8:
                size = self.library.buffer_bytes(dtype, count)
                if tensor.numel() != size:
                    raise ValueError(
                        f"{role.name}[{i}] has {tensor.numel()} bytes, DYNAMIC8 takes {size} for the {count} elements "
                        "of its parameter"
                    )
            elif tensor.numel() != count:
                raise ValueError(f"{role.name}[{i}] has {tensor.numel()} elements, its parameter {count}")
            if not tensor.is_contiguous():
                raise ValueError(f"{role.name}[{i}] is not contiguous; pass tensor.contiguous()")
            if tensor.device != self.device:
                raise ValueError(
                    f"{role.name}[{i}] is on {tensor.device}, the parameters are on {self.device}"
                )
        self.bind_addresses(role, addresses(tensors))
        self._bound[role] = tensors

    def bind_addresses(self, role: Role, pointers: ctypes.Array[c_void_p]) -> None:
        """Binds what addresses() gave. The caller keeps the tensors alive."""
        self.library.nopt_param_set_bind(self.handle, role, len(pointers), pointers)

    def set_lr_scale(self, scales: Sequence[float]) -> None:
        self.library.nopt_param_set_set_lr_scale(self.handle, len(scales), (c_double * len(scales))(*scales))

    def set_weight_decay(self, decays: Sequence[float]) -> None:
        self.library.nopt_param_set_set_weight_decay(
            self.handle, len(decays), (c_double * len(decays))(*decays)
        )


class Optimizer(Handle):
    """A rule over a parameter set."""

    def __init__(self, parameters: ParamSet, rule: str) -> None:
        super().__init__(parameters.library, "nopt_optimizer_destroy")
        self.parameters = parameters
        self._step = self.library.nopt_optimizer_step
        self.library.nopt_optimizer_create(parameters.handle, rule.encode(), byref(self.handle))

    def step(self, hyperparams: Hyperparams, stream: int | None = None) -> None:
        """One step. `stream` is torch.cuda.Stream.cuda_stream, and None on the CPU."""
        self._step(self.handle, hyperparams, stream)

    def set_grad_options(self, options: GradOptions | None) -> None:
        """What later steps make of the gradients before anything else. None: nothing."""
        self.library.nopt_optimizer_set_grad_options(self.handle, options)

    @property
    def grad_status(self) -> GradStatus:
        """What became of the gradients, in the newest step that the device has finished."""
        status = GradStatus()
        self.library.nopt_optimizer_get_grad_status(self.handle, byref(status))
        return status

    def set_capturable(self, capturable: bool, stream: int | None = None) -> None:
        """Whether the device counts the steps; on CUDA, GradFlag.SKIP_NONFINITE needs it."""
        self.library.nopt_optimizer_set_capturable(self.handle, capturable, stream)

    def roles(self, hyperparams: Hyperparams) -> list[Role]:
        """What a step with these hyperparameters needs bound."""
        return roles_of(self.library.nopt_optimizer_get_roles, self.handle, hyperparams)

    @property
    def state(self) -> StepState:
        state = StepState()
        self.library.nopt_optimizer_get_state(self.handle, byref(state))
        return state

    @state.setter
    def state(self, state: StepState) -> None:
        self.library.nopt_optimizer_set_state(self.handle, byref(state))


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

    def rotate(self, options: DimerOptions, hyperparams: Hyperparams, stream: int | None = None) -> None:
        self.library.nopt_dimer_rotate(self.handle, options, hyperparams, stream)

    def step(self, options: DimerOptions, hyperparams: Hyperparams, stream: int | None = None) -> None:
        self.library.nopt_dimer_step(self.handle, options, hyperparams, stream)

    def restore(self, stream: int | None = None) -> None:
        self.library.nopt_dimer_restore(self.handle, stream)

    def roles(self, options: DimerOptions) -> list[Role]:
        """What calls with these options need bound, beside the optimizer's roles."""
        return roles_of(self.library.nopt_dimer_get_roles, self.handle, options)

    def status(self, scope: int = 0) -> DimerStatus:
        """The scope's values, of the newest call that the device has finished."""
        status = DimerStatus()
        self.library.nopt_dimer_get_status(self.handle, scope, byref(status))
        return status
