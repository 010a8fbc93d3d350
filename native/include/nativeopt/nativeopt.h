/*
 * NativeOpt: fused optimizer steps over a host framework's own buffers.
 *
 * A plain C ABI. The rules that hold for every function:
 *
 *  - Status. Functions that can fail return a nopt_status. Every argument is checked before anything is written: when
 *    the status is not NOPT_OK, no parameter, state or output argument has changed (asynchronous device faults, which
 *    surface at a later call, excepted). nopt_last_error_message() names the argument and the remedy.
 *  - Sizes are signed 64-bit element or byte counts. Negative ones are errors; 0 is ordinary input.
 *  - Pointers in a table point to memory of the parameter set's device and are aligned to their element. The host
 *    keeps ownership; they stay valid until the last step that uses them has finished on its stream.
 *  - Streams. `stream` is a cudaStream_t on CUDA: NULL or NOPT_STREAM_LEGACY is the legacy default stream,
 *    NOPT_STREAM_PER_THREAD the per-thread one. Work is queued in stream order and no function waits for the device
 *    unless it says so. Calls on one parameter set use one stream, or streams that the caller orders. CPU work is
 *    finished on return, and the stream must be NULL.
 *  - Structs begin with struct_size = sizeof(the struct as the caller compiled it). New fields are appended and 0 in
 *    a new field means the old behaviour.
 *  - Threads. Distinct parameter sets may be used from distinct threads at the same time. Using one set, or the
 *    optimizers over it, from two threads at once is detected: the later call returns NOPT_ERROR_BUSY.
 *  - Same bits. For equal inputs, a step gives equal bits on every backend, instruction set and thread count (the
 *    payload of NaNs excepted, of which PARAM_REMAINDER holds a part where the parameter is a NaN).
 */
#ifndef NATIVEOPT_NATIVEOPT_H
#define NATIVEOPT_NATIVEOPT_H

#include <stdint.h>

#if defined(NOPT_BINDGEN) || defined(NOPT_STATIC)
#define NOPT_API
#elif defined(_WIN32)
#if defined(NOPT_BUILDING)
#define NOPT_API __declspec(dllexport)
#else
#define NOPT_API __declspec(dllimport)
#endif
#else
#define NOPT_API __attribute__((visibility("default")))
#endif

/* Enums are 32 bits wide. C++ also has to be told that they may hold values which this header does not know. */
#ifdef __cplusplus
#define NOPT_INT32 : int32_t
extern "C" {
#else
#define NOPT_INT32
#endif

/** The version of this header's ABI. Compare it once with nopt_abi_version() after loading the library. */
#define NOPT_ABI_VERSION 2

/** CUDA's legacy default stream, by name (the same as NULL). */
#define NOPT_STREAM_LEGACY ((void*)0x1)

/** CUDA's per-thread default stream. */
#define NOPT_STREAM_PER_THREAD ((void*)0x2)

/* ---- status and versions ---- */

/** The outcome of a call. Values are never reused. */
typedef enum nopt_status NOPT_INT32 {
    NOPT_OK = 0,
    /** An argument is null, out of range, misaligned or inconsistent. */
    NOPT_ERROR_INVALID_ARGUMENT = 1,
    /** Host or device memory ran out. */
    NOPT_ERROR_OUT_OF_MEMORY = 2,
    /** The backend is not compiled in, has no driver, or has no such device. */
    NOPT_ERROR_UNAVAILABLE = 3,
    /** The combination of rule, options and element types is not implemented. */
    NOPT_ERROR_UNSUPPORTED = 4,
    /** A role that the rule needs is not bound. */
    NOPT_ERROR_MISSING_ROLE = 5,
    /** Two buffers overlap, and at least one of them is written. */
    NOPT_ERROR_OVERLAP = 6,
    /** The parameter set is in use by another thread. */
    NOPT_ERROR_BUSY = 7,
    /** The device reported a fault, perhaps of earlier asynchronous work. */
    NOPT_ERROR_DEVICE = 8,
    /** The library itself has a defect. */
    NOPT_ERROR_INTERNAL = 9,
    /** The call does not fit the calls before it, for example a restore without a displacement. */
    NOPT_ERROR_INVALID_STATE = 10
} nopt_status;

/** Returns the ABI version of the loaded library: NOPT_ABI_VERSION of the header that it was built with. */
NOPT_API uint32_t nopt_abi_version(void);

/** Returns the library's version, "major.minor.patch". The text is in static storage. */
NOPT_API const char* nopt_version(void);

/**
 * Returns one line that says what the build contains, for example "GCC 12.2.0; cpu: baseline x86-64-v3; cuda: 11.8".
 * The text is in static storage.
 */
NOPT_API const char* nopt_build_info(void);

/**
 * Returns the text of the calling thread's last failed call, or "" if none has failed yet. The text is valid until the
 * next call into the library on this thread.
 */
NOPT_API const char* nopt_last_error_message(void);

/**
 * Returns the layout of every public struct as text, for bindings to compare with their own: lines "struct NAME SIZE",
 * each followed by lines "field NAME OFFSET SIZE", in declaration order. The text is in static storage.
 */
NOPT_API const char* nopt_abi_layout(void);

/* ---- devices ---- */

/** A backend is where a parameter set lives and its steps run. */
typedef enum nopt_backend NOPT_INT32 {
    NOPT_BACKEND_CPU = 0,
    NOPT_BACKEND_CUDA = 1
} nopt_backend;

/** Describes a device; see nopt_device_get_info(). */
typedef struct nopt_device_info {
    uint32_t struct_size;
    /** A nopt_backend. */
    int32_t backend;
    /** The index among the backend's devices, from 0. */
    int32_t index;
    /** The number of streaming multiprocessors on CUDA, of threads of the library's pool on the CPU. */
    int32_t processor_count;
    /** The compute capability on CUDA, for example 9 and 0; 0 and 0 on the CPU. */
    int32_t compute_capability_major;
    int32_t compute_capability_minor;
    /** The bytes of memory on the device; 0 if they are unknown. */
    int64_t memory_bytes;
    /** The product's name in UTF-8, zero-terminated. */
    char name[128];
} nopt_device_info;

/**
 * Tells the number of devices of a backend, which is 1 for the CPU.
 * @param count Receives the number. It is 0 if the status is NOPT_ERROR_UNAVAILABLE, whose message says why there are
 *              none: the backend is not compiled in, or there is no driver or no device.
 */
NOPT_API nopt_status nopt_device_count(nopt_backend backend, int32_t* count);

/** Describes a device. @param info In: struct_size; out: all fields. */
NOPT_API nopt_status nopt_device_get_info(nopt_backend backend, int32_t device_index, nopt_device_info* info);

/** Describes an instruction set that the CPU backend's kernels were compiled for. */
typedef struct nopt_cpu_isa_info {
    uint32_t struct_size;
    /** 1 if this processor can run it. */
    int32_t supported;
    /** 1 if steps use it now. */
    int32_t selected;
    int32_t reserved;
    /** The name, zero-terminated: "baseline", "x86-64-v3" or "x86-64-v4". */
    char name[32];
} nopt_cpu_isa_info;

/** Returns the number of instruction sets that are compiled in. */
NOPT_API int32_t nopt_cpu_isa_count(void);

/** Describes instruction set `index`, from 0 (the most portable) to nopt_cpu_isa_count() - 1. */
NOPT_API nopt_status nopt_cpu_isa_get_info(int32_t index, nopt_cpu_isa_info* info);

/**
 * Selects the instruction set of later CPU steps of the whole process, by name. At start it is the widest that the
 * processor supports, or the one that the environment variable NATIVEOPT_CPU_ISA names. Results have the same bits
 * with each of them; the function is for measurements and tests.
 */
NOPT_API nopt_status nopt_cpu_set_isa(const char* name);

/**
 * Bounds the threads of later CPU steps of the whole process, the calling thread included. At start the bound is what
 * nopt_cpu_get_processors() tells: the processors, or the quota, a part of a processor counting as one, if that is
 * less. The environment variable NATIVEOPT_NUM_THREADS sets another one.
 * Threads are created here or at the first step that needs them, and never again. They look out for the next step for
 * 50 microseconds before they sleep, unless there are more of them than processors; a small step wakes none. Results
 * have the same bits with any number.
 * @param num_threads Must be 1 to 1024.
 */
NOPT_API nopt_status nopt_cpu_set_num_threads(int32_t num_threads);

/** Tells the present bound on threads. */
NOPT_API nopt_status nopt_cpu_get_num_threads(int32_t* num_threads);

/**
 * Tells what the process may use of the machine, as it was when the library first asked.
 * @param available Receives the number of processors in the affinity mask of the process; those of the machine where
 *                  the library reads no such mask (outside of Linux).
 * @param quota Receives how many processors' worth of time control groups (cgroups of Linux, versions 1 and 2) grant
 *              the process: the smallest quota from the topmost group that it can see down to its own. It is above 0,
 *              and infinity without a quota.
 */
NOPT_API nopt_status nopt_cpu_get_processors(int32_t* available, double* quota);

/* ---- memory ---- */

/** The type of a buffer's elements. */
typedef enum nopt_dtype NOPT_INT32 {
    /** IEEE 754 binary32. */
    NOPT_DTYPE_FLOAT32 = 1,
    /** The upper 16 bits of a float32. */
    NOPT_DTYPE_BFLOAT16 = 2,
    /** IEEE 754 binary16. */
    NOPT_DTYPE_FLOAT16 = 3,
    /**
     * States only: blocks of 256 elements, the last one perhaps shorter. A block begins with a float32, the largest
     * magnitude in it. A byte for each element follows. It names one of 256 fixed numbers, which the float32 is
     * multiplied by: numbers between -1 and 1 for a state that has a sign, between 0 and 1 for one that has none
     * (nopt_state_info.is_signed). They are those of dynamic quantization (Dettmers et al. 2022, "8-bit Optimizers via
     * Block-wise Quantization"): they reach down to less than 1e-6, spaced finer in each larger decade. Byte 0 is 0,
     * and bytes count up from there; with a sign, the bytes from 129 on are the negatives of 256 minus the byte. A
     * stored state is rounded to the nearest number. Where a step leaves a state of an element not finite, all states
     * of that element (of any type) are stored as 0, so that the others of its block are unharmed. A tensor takes
     * elements + 4 * ceil(elements / 256) bytes.
     */
    NOPT_DTYPE_DYNAMIC8 = 4
} nopt_dtype;

/** Describes an element type. */
typedef struct nopt_dtype_info {
    uint32_t struct_size;
    /** A nopt_dtype. */
    int32_t dtype;
    /** The name in static storage: "float32", "bfloat16", "float16" or "dynamic8". */
    const char* name;
    /** The number of elements in a block; 1 where each element stands for itself. */
    int32_t block_elements;
    /** The bytes of a block beside its elements: 4 for the scale of NOPT_DTYPE_DYNAMIC8, 0 for other types. */
    int32_t block_extra_bytes;
    /** The bytes of an element. */
    int32_t element_bytes;
    /** The addresses of buffers must be multiples of this number of bytes. */
    int32_t alignment;
} nopt_dtype_info;

/** Returns the number of element types. */
NOPT_API int32_t nopt_dtype_count(void);

/** Describes element type `index`, from 0 to nopt_dtype_count() - 1. @param info In: struct_size; out: all fields. */
NOPT_API nopt_status nopt_dtype_get_info(int32_t index, nopt_dtype_info* info);

/** Computes the bytes of a buffer of `count` elements. @param bytes Receives them. */
NOPT_API nopt_status nopt_dtype_get_bytes(nopt_dtype dtype, int64_t count, int64_t* bytes);

/**
 * Allocates device memory, for hosts that have no allocator of their own. The memory is not initialised. On the CPU
 * large buffers begin at different places of a page, since processors may take time to tell streams apart that begin at
 * the same one; on Linux they ask for large pages.
 * @param bytes 0 gives a null pointer.
 * @param memory Receives the pointer, aligned to at least 64 bytes; free it with nopt_memory_free.
 */
NOPT_API nopt_status nopt_memory_alloc(nopt_backend backend, int32_t device_index, int64_t bytes, void** memory);

/** Frees memory of nopt_memory_alloc. Null is ignored. On CUDA the call waits for the device's work. */
NOPT_API nopt_status nopt_memory_free(nopt_backend backend, int32_t device_index, void* memory);

/**
 * Copies bytes between buffers that do not overlap, in stream order. On CUDA either side may be host or device memory;
 * host memory must stay untouched until nopt_stream_synchronize.
 */
NOPT_API nopt_status nopt_memory_copy(nopt_backend backend, int32_t device_index, void* destination, const void* source,
                                      int64_t bytes, void* stream);

/**
 * Sets `count` elements of a device buffer to `value`, in stream order.
 * @param destination Must be aligned to the element size, or to 4 bytes for NOPT_DTYPE_DYNAMIC8.
 * @param dtype The type of the elements.
 * @param value Is rounded to float32, and from there to `dtype`, to nearest. A finite value that is infinite then is
 *     refused. NOPT_DTYPE_DYNAMIC8 takes only 0; anything else is NOPT_ERROR_UNSUPPORTED.
 */
NOPT_API nopt_status nopt_memory_fill(nopt_backend backend, int32_t device_index, void* destination, int64_t count,
                                      nopt_dtype dtype, double value, void* stream);

/** Creates a stream that does not wait for the legacy default stream. @param stream Receives it; NULL on the CPU. */
NOPT_API nopt_status nopt_stream_create(nopt_backend backend, int32_t device_index, void** stream);

/** Destroys a stream of nopt_stream_create. Null is ignored. */
NOPT_API nopt_status nopt_stream_destroy(nopt_backend backend, int32_t device_index, void* stream);

/** Waits until all work queued on the stream has finished, and reports its faults. */
NOPT_API nopt_status nopt_stream_synchronize(nopt_backend backend, int32_t device_index, void* stream);

/* ---- parameter sets ---- */

/** The most states of a rule, inputs of a rule, hyperparameters of a rule, and running scalars of a rule. */
#define NOPT_MAX_STATES 6
#define NOPT_MAX_INPUTS 2
#define NOPT_MAX_HYPERPARAMS 12
#define NOPT_MAX_RUNNING 4

/**
 * What a buffer of a tensor is for. Each role holds as many elements as the tensor. State i of a rule is role
 * NOPT_ROLE_STATE + i, input i is NOPT_ROLE_INPUT + i: what they are differs from rule to rule, see
 * nopt_rule_get_state() and nopt_rule_get_input(). nopt_role_get_info() describes the others.
 */
typedef enum nopt_role NOPT_INT32 {
    /** The parameter, theta. Read and written. */
    NOPT_ROLE_PARAM = 0,
    /**
     * The gradient of the loss, g. Only read; two tensors' gradients may share memory. An address may be null: the
     * tensor is frozen then. Neither it nor its states move, and its step count stays. (Dimers need all gradients.)
     */
    NOPT_ROLE_GRAD = 1,
    /**
     * Theta in float32 for tensors whose PARAM has 16 bits: steps are taken here, and PARAM is its rounded copy. The
     * host fills it with a copy of PARAM before the first step. An address may be null: the tensor has none then.
     */
    NOPT_ROLE_MASTER_PARAM = 2,
    /**
     * The 16 bits that a bfloat16 PARAM lacks of theta, two bytes an element: together they are the float32 that
     * MASTER_PARAM would hold, in half of the memory. The host zeroes it before the first step, and again whenever it
     * writes PARAM. An address may be null: the tensor has none then.
     */
    NOPT_ROLE_PARAM_REMAINDER = 3,
    /** Dimer: the direction N, a unit vector over each scope. Kept from step to step. */
    NOPT_ROLE_DIRECTION = 4,
    /**
     * Dimer: the unit vector that spans the plane of rotation with N, for angles that are not of fixed rate. Scratch
     * within an update with the optimal angle; with conjugate directions it is kept from update to update.
     */
    NOPT_ROLE_ROTATION_DIRECTION = 5,
    /** Dimer: theta, while PARAM holds the displaced parameters. Scratch within an update. */
    NOPT_ROLE_PARAM_BACKUP = 6,
    /** Dimer: g, while the host computes g2 in GRAD. Scratch within an update. */
    NOPT_ROLE_GRAD_BACKUP = 7,
    /** Dimer: the gradient at the displaced parameters, g2, of hosts that keep g in GRAD meanwhile. Only read. */
    NOPT_ROLE_GRAD_DISPLACED = 8,
    /** Dimer: how the gradient changes from theta to the displacement along N, for conjugate directions. Scratch within
     * an update. */
    NOPT_ROLE_GRAD_CHANGE = 9,
    /** The first state of the rule; state i is NOPT_ROLE_STATE + i, i < NOPT_MAX_STATES. */
    NOPT_ROLE_STATE = 16,
    /** The first input of the rule; input i is NOPT_ROLE_INPUT + i, i < NOPT_MAX_INPUTS. */
    NOPT_ROLE_INPUT = 24
} nopt_role;

/** A role that is not a state or an input of a rule. */
typedef struct nopt_role_info {
    uint32_t struct_size;
    /** A nopt_role. */
    int32_t role;
    /** "param", "grad", "direction" and so on; static storage. */
    const char* name;
    /** One line that says what the buffer holds; static storage. */
    const char* meaning;
    /** Sum of 1 << nopt_dtype over the element types that the role may have. */
    uint32_t dtypes;
    /** 1 if steps write it. */
    int32_t is_written;
    /** 1 if the address of a tensor may be null. */
    int32_t may_be_null;
    /** 1 if a dimer alone uses it. */
    int32_t is_of_dimer;
} nopt_role_info;

/** The number of roles that are not states or inputs of a rule. */
NOPT_API int32_t nopt_role_count(void);

/** Describes role `index`, from 0 to nopt_role_count() - 1. @param info In: struct_size; out: all fields. */
NOPT_API nopt_status nopt_role_get_info(int32_t index, nopt_role_info* info);

/** The tensors of a model (or of a part of it) on one device, and where their buffers are. */
typedef struct nopt_param_set nopt_param_set;

/**
 * Registers tensors.
 * @param tensor_count   Number of tensors, 0 or more.
 * @param element_counts Elements of each tensor, 0 or more; copied. May be null if tensor_count is 0.
 * @param dtypes         Element type of each parameter, and of its gradient unless nopt_param_set_set_dtypes says
 *                       otherwise; copied. Null: all float32.
 * @param set            Receives the set; destroy it with nopt_param_set_destroy.
 */
NOPT_API nopt_status nopt_param_set_create(nopt_backend backend, int32_t device_index, int64_t tensor_count,
                                           const int64_t* element_counts, const nopt_dtype* dtypes,
                                           nopt_param_set** set);

/** Releases a set; optimizers over it keep what they need until they are destroyed. Null is ignored. */
NOPT_API nopt_status nopt_param_set_destroy(nopt_param_set* set);

/**
 * Sets the element types of a role that is not bound now. GRAD may be float32 (what PARAM is, at first), bfloat16 or
 * float16, and GRAD_DISPLACED and GRAD_BACKUP follow it. Inputs may be the same three, and are float32 at first. States
 * may be float32 (what they are at first), bfloat16, float16 or DYNAMIC8, as far as the rule allows
 * (nopt_state_info.dtypes, checked at the step). A float16 state becomes infinite beyond 65504 and 0 below 3e-8. A
 * second moment stays 0 where (1 - beta2) g^2 is below that, which with a beta2 of 0.999 are gradients below 5e-3, and
 * the step then divides by eps alone: float16 suits first moments, and bfloat16 second ones. PARAM keeps the types of
 * creation, PARAM_BACKUP has the same, and all other roles are float32. Arithmetic is in float32 always. A stored
 * number is rounded to nearest, ties to even; DYNAMIC8, MASTER_PARAM, PARAM_REMAINDER and
 * NOPT_FLAG_STOCHASTIC_ROUNDING say where it is otherwise.
 * @param role   GRAD, a state or an input.
 * @param dtypes One for each tensor, copied. Null brings back what they were at first.
 */
NOPT_API nopt_status nopt_param_set_set_dtypes(nopt_param_set* set, nopt_role role, int64_t tensor_count,
                                               const nopt_dtype* dtypes);

/**
 * Binds one role's buffers. Call it again whenever an address changed; unchanged addresses cost a comparison.
 * @param tensor_count As at creation, for safety.
 * @param pointers     One address for each tensor, copied; may be null for a tensor of no elements, and where the role
 *                     says so. Null instead of the array unbinds the role.
 */
NOPT_API nopt_status nopt_param_set_bind(nopt_param_set* set, nopt_role role, int64_t tensor_count,
                                         void* const* pointers);

/**
 * Binds several roles' buffers, or unbinds roles, in one call: it does all of it, or nothing if the status is not
 * NOPT_OK. Only what is bound in the end has to be free of overlap, so that a role's new addresses may be another
 * role's old ones (two states that change places), which calls of nopt_param_set_bind in a row would refuse.
 * @param tensor_count As at creation, for safety.
 * @param role_count   Number of roles, 0 or more.
 * @param roles        The roles, each one once.
 * @param pointers     For each role an array as nopt_param_set_bind takes it. Null instead of an array unbinds the
 *                     role, after which nopt_param_set_set_dtypes may change its element types.
 */
NOPT_API nopt_status nopt_param_set_bind_roles(nopt_param_set* set, int64_t tensor_count, int32_t role_count,
                                               const nopt_role* roles, void* const* const* pointers);

/**
 * Scales the learning rate per tensor: tensor i uses lr * lr_scale[i]. Steps are refused where that is more than the
 * largest lr (nopt_hyperparam_info.max).
 * @param lr_scale One value >= 0 for each tensor, finite as a float, copied. Null: all 1.
 */
NOPT_API nopt_status nopt_param_set_set_lr_scale(nopt_param_set* set, int64_t tensor_count, const double* lr_scale);

/**
 * Sets the weight decay per tensor, in place of nopt_hyperparams.weight_decay.
 * @param weight_decay One value for each tensor, copied: one that "weight_decay" may have (nopt_hyperparam_info), or
 *                     NOPT_INHERIT to use the step's. Null: all inherit.
 */
NOPT_API nopt_status nopt_param_set_set_weight_decay(nopt_param_set* set, int64_t tensor_count,
                                                     const double* weight_decay);

/** A per-tensor value that stands for the step's own. */
#define NOPT_INHERIT (-1.0)

/**
 * Puts tensors into groups that have hyperparameters of their own; see nopt_optimizer_set_group_count. A tensor that
 * changes its group keeps its step count. (Tensors that differ in learning rate and weight decay alone need no groups.)
 * @param group One index for each tensor, 0 or more, copied. Null: all 0.
 */
NOPT_API nopt_status nopt_param_set_set_groups(nopt_param_set* set, int64_t tensor_count, const int32_t* group);

/* ---- rules and optimizers ---- */

/**
 * Options of a step. Those named here mean the same in every rule that knows them. The options of a single rule are
 * bits from NOPT_FLAG_RULE on, described by nopt_rule_get_flag() and set by name with nopt_hyperparams_set_flag().
 */
typedef enum nopt_flag NOPT_INT32 {
    /** "maximize". Ascends: the gradient's sign is flipped before anything else. */
    NOPT_FLAG_MAXIMIZE = 1,
    /**
     * "decoupled_weight_decay". theta <- (1 - lr * weight_decay) * theta before the update (Loshchilov & Hutter 2019),
     * not L2 in the gradient.
     */
    NOPT_FLAG_DECOUPLED_WEIGHT_DECAY = 2,
    /**
     * "stochastic_rounding". bfloat16 parameters without MASTER_PARAM or PARAM_REMAINDER are rounded up or down at
     * random, right on average (Croci et al. 2022), by Philox4x32-10 of rounding_seed, the tensor's step, its index and
     * the element's. Every rule knows it.
     */
    NOPT_FLAG_STOCHASTIC_ROUNDING = 4,
    /**
     * "bias_correction_by_power". The running scalars of step t are beta^t with the beta of this step, as torch has it,
     * and not the product of the betas of all steps taken. Both are the same unless beta changes from step to step.
     */
    NOPT_FLAG_BIAS_CORRECTION_BY_POWER = 8,
    /**
     * "stochastic_rounding_states". bfloat16 states are rounded as NOPT_FLAG_STOCHASTIC_ROUNDING rounds parameters,
     * each state by random numbers of its own. Without it a moment stands still where what a step changes is less than
     * half the spacing of bfloat16: with beta2 = 0.999, exp_avg_sq neither decays nor rises as it should. Every rule
     * knows it.
     */
    NOPT_FLAG_STOCHASTIC_ROUNDING_STATES = 16,
    /** The first option of the rule's own; option i of these is NOPT_FLAG_RULE << i. */
    NOPT_FLAG_RULE = 256
} nopt_flag;

/** The hyperparameters that every rule has have the same index in each; the others follow in the rule's order. */
typedef enum nopt_hyperparam NOPT_INT32 {
    /** "lr", the learning rate. */
    NOPT_HYPERPARAM_LR = 0,
    /** "weight_decay". */
    NOPT_HYPERPARAM_WEIGHT_DECAY = 1
} nopt_hyperparam;

/** The learning rate of capturable optimizers: that of nopt_optimizer_set_lr, as the step finds it on the device. */
#define NOPT_LR_ON_DEVICE (-1.0)

/**
 * What a step is to do. nopt_rule_get_defaults() fills it, nopt_hyperparams_set() and nopt_hyperparams_set_flag()
 * change it by name. Scalars are computed in double and rounded to float once, at use.
 */
typedef struct nopt_hyperparams {
    uint32_t struct_size;
    /** Sum of nopt_flag values and of the rule's own. */
    uint32_t flags;
    /**
     * Selects the random numbers of NOPT_FLAG_STOCHASTIC_ROUNDING and NOPT_FLAG_STOCHASTIC_ROUNDING_STATES; must be 0
     * without both.
     */
    uint64_t rounding_seed;
    /** The rule's hyperparameters in the order of nopt_rule_get_hyperparam(); those past its last one must be 0. */
    double values[NOPT_MAX_HYPERPARAMS];
} nopt_hyperparams;

/** An update rule compiled into the library. All text is in static storage. */
typedef struct nopt_rule_info {
    uint32_t struct_size;
    /** Sum of all flags that the rule knows. */
    uint32_t flags;
    /** How many of each the rule has; `flag_count` counts the common flags, too. */
    int32_t hyperparam_count;
    int32_t flag_count;
    int32_t state_count;
    int32_t input_count;
    int32_t running_count;
    int32_t reserved;
    /** What nopt_optimizer_create takes. */
    const char* name;
    /** The paper, and the equation or algorithm in it. */
    const char* source;
    /** The update in one line, with t counted from 1. */
    const char* equations;
} nopt_rule_info;

/** A hyperparameter of a rule. All text is in static storage. */
typedef struct nopt_hyperparam_info {
    uint32_t struct_size;
    /** Its index in nopt_hyperparams.values. */
    int32_t index;
    const char* name;
    /** One line that says what it is. */
    const char* meaning;
    double default_value;
    double min;
    /**
     * The largest value; excluded from the range if `max_is_excluded` is 1. If it is FLT_MAX, steps compute with the
     * value as a float, as it is, and values between `min` and FLT_MIN are refused: what is 0 as a float and was not
     * would mean another thing. (Learning rates and weight decays may be as small as schedules make them. They have
     * other bounds, so that all that they are a part of is finite as a float.)
     */
    double max;
    int32_t max_is_excluded;
    /** 1 if it must be a whole number. */
    int32_t is_integer;
    /** 1 if a state depends on it (nopt_state_info.needed_hyperparam): all groups must agree on whether it exceeds that
     * bound. */
    int32_t selects_states;
    int32_t reserved;
} nopt_hyperparam_info;

/** A flag that a rule knows. All text is in static storage. */
typedef struct nopt_flag_info {
    uint32_t struct_size;
    /** Its bit in nopt_hyperparams.flags. */
    uint32_t flag;
    const char* name;
    /** One line that says what it does. */
    const char* meaning;
    /** The index of a hyperparameter that must be above 0 with it, or -1. */
    int32_t needed_hyperparam;
    /** 1 if a state depends on it (nopt_state_info.needed_flag), so that it must be the same in all groups. */
    int32_t selects_states;
} nopt_flag_info;

/** A state of a rule: a buffer that is kept from step to step. All text is in static storage. */
typedef struct nopt_state_info {
    uint32_t struct_size;
    /** NOPT_ROLE_STATE plus its index. */
    int32_t role;
    const char* name;
    /** One line that says what it holds. */
    const char* meaning;
    /** 1 if it has negative values, which decides its code in NOPT_DTYPE_DYNAMIC8. */
    int32_t is_signed;
    /** Sum of 1 << nopt_dtype over the element types that it may have. */
    uint32_t dtypes;
    /**
     * The index of the hyperparameter that the host fills it with before the first step (the learning rate times the
     * tensor's lr_scale, if it is that), or -1: with `initial_value`.
     */
    int32_t initial_hyperparam;
    /** The state is there only with this flag; 0: whatever the flags. */
    uint32_t needed_flag;
    double initial_value;
    /** The state is there only where this hyperparameter is above `needed_above`; -1: whatever they are. */
    int32_t needed_hyperparam;
    int32_t reserved;
    double needed_above;
} nopt_state_info;

/**
 * An input of a rule: a buffer that the host gives beside the gradient. It is only read. A step in which it is not
 * bound, or in which the address of a tensor is null, does without. All text is in static storage.
 */
typedef struct nopt_input_info {
    uint32_t struct_size;
    /** NOPT_ROLE_INPUT plus its index. */
    int32_t role;
    const char* name;
    /** One line that says what it holds, and what a step does without it. */
    const char* meaning;
} nopt_input_info;

/** A running scalar of a rule: a number that each step takes on, such as beta1^t. All text is in static storage. */
typedef struct nopt_running_info {
    uint32_t struct_size;
    /** Its index in nopt_step_state.running. */
    int32_t index;
    const char* name;
    /** One line that says what it is. */
    const char* meaning;
    /** Its value before the first step. */
    double initial_value;
} nopt_running_info;

/** The number of update rules. */
NOPT_API int32_t nopt_rule_count(void);

/** Describes rule `index`, from 0 to nopt_rule_count() - 1. The order is not part of the ABI; names are. */
NOPT_API nopt_status nopt_rule_get_info(int32_t index, nopt_rule_info* info);

/** Fills in the rule's defaults: torch's, or the paper's. @param hyperparams In: struct_size; out: all fields. */
NOPT_API nopt_status nopt_rule_get_defaults(const char* rule, nopt_hyperparams* hyperparams);

/**
 * Describe a hyperparameter, a flag, a state, an input or a running scalar of a rule.
 * @param index From 0 to the rule's count of them - 1; see nopt_rule_info.
 * @param info  In: struct_size; out: all fields.
 */
NOPT_API nopt_status nopt_rule_get_hyperparam(const char* rule, int32_t index, nopt_hyperparam_info* info);
NOPT_API nopt_status nopt_rule_get_flag(const char* rule, int32_t index, nopt_flag_info* info);
NOPT_API nopt_status nopt_rule_get_state(const char* rule, int32_t index, nopt_state_info* info);
NOPT_API nopt_status nopt_rule_get_input(const char* rule, int32_t index, nopt_input_info* info);
NOPT_API nopt_status nopt_rule_get_running(const char* rule, int32_t index, nopt_running_info* info);

/**
 * Sets a hyperparameter by name, after checking its range. "lr" may be NOPT_LR_ON_DEVICE, too.
 * @param hyperparams In and out; struct_size and the other fields stay.
 * @param name        As nopt_hyperparam_info has it, e.g. "beta1".
 */
NOPT_API nopt_status nopt_hyperparams_set(const char* rule, nopt_hyperparams* hyperparams, const char* name,
                                          double value);

/** Sets or clears a flag by name, e.g. "amsgrad". @param on 0 or 1. */
NOPT_API nopt_status nopt_hyperparams_set_flag(const char* rule, nopt_hyperparams* hyperparams, const char* name,
                                               int32_t on);

/** A rule's progress over a parameter set: step counts and running scalars. */
typedef struct nopt_optimizer nopt_optimizer;

/** How far a tensor has come; with the state buffers, all that a resumed run needs. */
typedef struct nopt_step_state {
    uint32_t struct_size;
    /** Must be 0. */
    uint32_t reserved;
    /** Steps taken, t; 0 before the first, at most 2^53. */
    int64_t step;
    /** The rule's running scalars in the order of nopt_rule_get_running(); those past its last one must be 0. */
    double running[NOPT_MAX_RUNNING];
} nopt_step_state;

/**
 * Takes a step state on by `steps` steps with the same hyperparameters, as an optimizer would; nothing else happens.
 * What a tensor's running scalars are after t steps follows from nopt_rule_get_initial_state() and this.
 * @param steps 0 or more.
 * @param state In and out.
 */
NOPT_API nopt_status nopt_rule_advance(const char* rule, const nopt_hyperparams* hyperparams, int64_t steps,
                                       nopt_step_state* state);

/** The step state before the first step. @param state In: struct_size; out: all fields. */
NOPT_API nopt_status nopt_rule_get_initial_state(const char* rule, nopt_step_state* state);

/**
 * Creates an optimizer at step 0 over a set. The states of a set are those of one rule: optimizers of different rules
 * over one set need their states bound anew whenever another one steps.
 * @param rule "adam", "invadam", "dualadam", "sgd" and so on; see nopt_rule_get_info.
 */
NOPT_API nopt_status nopt_optimizer_create(nopt_param_set* set, const char* rule, nopt_optimizer** optimizer);

/** Destroys an optimizer; the set and all buffers stay. Null is ignored. */
NOPT_API nopt_status nopt_optimizer_destroy(nopt_optimizer* optimizer);

/**
 * Tells the roles that a step with these hyperparameters needs. Inputs are not among them.
 * @param role_mask Receives the sum of 1 << nopt_role.
 */
NOPT_API nopt_status nopt_optimizer_get_roles(const nopt_optimizer* optimizer, const nopt_hyperparams* hyperparams,
                                              uint32_t* role_mask);

/**
 * Reads the step state of group 0: that of a tensor which has had a gradient in every step.
 * @param state In: struct_size; out: all fields. If the optimizer is capturable, the state is that after the newest
 * step that has finished on the device.
 */
NOPT_API nopt_status nopt_optimizer_get_state(const nopt_optimizer* optimizer, nopt_step_state* state);

/**
 * Sets the step state of group 0 and of all its tensors, to resume. Waits for the device if the optimizer is
 * capturable. NOPT_ERROR_INVALID_ARGUMENT: the running scalars are impossible after so many steps (nopt_rule_advance
 * computes them).
 */
NOPT_API nopt_status nopt_optimizer_set_state(nopt_optimizer* optimizer, const nopt_step_state* state);

/**
 * Reads the step states of all tensors. The step count belongs to the tensor: in a step in which it has no gradient, a
 * tensor does not step, and its count and running scalars stay. Waits for the device if the optimizer is capturable.
 * @param tensor_count The number of tensors, for safety.
 * @param states       One for each tensor, one after another, each as large as the first one's struct_size. In:
 * struct_size of each; out: all fields.
 */
NOPT_API nopt_status nopt_optimizer_get_tensor_states(const nopt_optimizer* optimizer, int64_t tensor_count,
                                                      nopt_step_state* states);

/**
 * Sets the step states of all tensors, to resume; those of the groups stay. Waits for the device if the optimizer is
 * capturable, and allocates. See nopt_optimizer_set_state.
 */
NOPT_API nopt_status nopt_optimizer_set_tensor_states(nopt_optimizer* optimizer, int64_t tensor_count,
                                                      const nopt_step_state* states);

/**
 * Says where the step counts and the running scalars are. With 1 they move to the device, which then counts the steps
 * itself: such steps, and those of dimers around the optimizer, can be captured into a CUDA graph, and replaying it k
 * times gives the bits of k steps (each costs one small launch more). With 0 they come back. Waits for the stream.
 * Before a capture, run a step or nopt_optimizer_upload; the hyperparameters and dimer options, but for
 * NOPT_LR_ON_DEVICE, are those of the capture. A graph uses the set, the optimizer and the dimer: destroy it before
 * them. On CPU nothing changes but that NOPT_LR_ON_DEVICE is understood.
 * @param capturable 0 or 1; 0 for new optimizers.
 */
NOPT_API nopt_status nopt_optimizer_set_capturable(nopt_optimizer* optimizer, int32_t capturable, void* stream);

/**
 * Brings what changed in the set (addresses, per-tensor options, which tensors have a gradient) to the device, in
 * stream order. Steps do so by themselves; only while a stream is being captured they cannot. A graph uses what the
 * newest upload before its replay brought, so that new addresses, and gradients that are null now, reach a captured
 * step. Does nothing on CPU.
 */
NOPT_API nopt_status nopt_optimizer_upload(nopt_optimizer* optimizer, void* stream);

/**
 * Sets the learning rate of a capturable optimizer's steps with NOPT_LR_ON_DEVICE, in stream order, for those captured
 * already, too. @param lr One that "lr" may have (nopt_hyperparam_info), times every lr_scale of the group's tensors,
 *                         too.
 */
NOPT_API nopt_status nopt_optimizer_set_lr(nopt_optimizer* optimizer, double lr, void* stream);

/**
 * Sets the number of groups of hyperparameters, 1 at first. Each has a step state and, if the optimizer is capturable,
 * a learning rate of its own; new groups begin as a new optimizer does, and tensors keep their step counts. From then
 * on every `hyperparams` argument is an array of so many structs, one after another, each struct_size bytes; all groups
 * are stepped by the same launch. They may differ in everything but what selects states
 * (nopt_hyperparam_info.selects_states, nopt_flag_info.selects_states) and the rounding options.
 * nopt_optimizer_get_state, _set_state and _set_lr mean group 0. Tensors of a group that goes keep their step counts,
 * and no step is taken until they are in another group. Steps that were captured before must not be replayed again.
 * Waits for the device if the optimizer is capturable.
 * @param group_count 1 or more; in steps, uploads and sums of gradients larger than every index of
 *                    nopt_param_set_set_groups.
 */
NOPT_API nopt_status nopt_optimizer_set_group_count(nopt_optimizer* optimizer, int32_t group_count);

/** Does for a group what nopt_optimizer_get_state does for group 0. */
NOPT_API nopt_status nopt_optimizer_get_group_state(const nopt_optimizer* optimizer, int32_t group,
                                                    nopt_step_state* state);

/** Does for a group what nopt_optimizer_set_state does for group 0. */
NOPT_API nopt_status nopt_optimizer_set_group_state(nopt_optimizer* optimizer, int32_t group,
                                                    const nopt_step_state* state);

/** Does for a group what nopt_optimizer_set_lr does for group 0. */
NOPT_API nopt_status nopt_optimizer_set_group_lr(nopt_optimizer* optimizer, int32_t group, double lr, void* stream);

/**
 * Takes one step of all tensors that have a gradient: reads GRAD and the rule's inputs, updates PARAM and the rule's
 * states, and advances the tensors' step counts. One launch for any number of tensors on CUDA; no allocation, no lock,
 * no wait for the device. (A step allocates if
 * tensors that were at the same step part in it, because only some of them have a gradient, and if options of tensors
 * have changed since the last one.)
 *
 * With t counted from 1, g = -grad if MAXIMIZE, and g += weight_decay * theta if the decay is not decoupled, the update
 * is that of nopt_rule_info.equations.
 */
NOPT_API nopt_status nopt_optimizer_step(nopt_optimizer* optimizer, const nopt_hyperparams* hyperparams, void* stream);

/* ---- gradients ---- */

/** What a step makes of the gradients. A dimer's step makes it of the corrected gradients; see there. */
typedef enum nopt_grad_flag NOPT_INT32 {
    /**
     * The step multiplies all gradients with min(1, max_norm / (norm + 1e-6)), where norm is that of all of them
     * together, as torch.nn.utils.clip_grad_norm_ does (Pascanu et al. 2013).
     */
    NOPT_GRAD_CLIP_NORM = 1,
    /** The step then clips each element to -max_value .. max_value, as torch.nn.utils.clip_grad_value_ does. */
    NOPT_GRAD_CLIP_VALUE = 2,
    /**
     * The step is skipped if any gradient is not finite: nothing is written and the step is not counted. A finite one
     * may stop to be so where a loss_scale below 1 divides it or a dimer corrects it: then the step is skipped, too, if
     * the norm times 1 / loss_scale (where that is below 1) times 1 + alpha (in a dimer's step) is more than FLT_MAX.
     * The device decides, so that on CUDA the device has to count the steps: see nopt_optimizer_set_capturable. (A
     * skipped step that ends a dimer's update leaves PARAM as theta.)
     */
    NOPT_GRAD_SKIP_NONFINITE = 4
} nopt_grad_flag;

/** As nopt_grad_options.loss_scale of a capturable optimizer it stands for that of nopt_optimizer_set_loss_scale. */
#define NOPT_LOSS_SCALE_ON_DEVICE (-1.0)

/** The options of the gradients; see nopt_grad_flag. A field whose flag is not set must be 0. */
typedef struct nopt_grad_options {
    uint32_t struct_size;
    /** Sum of nopt_grad_flag values. */
    uint32_t flags;
    /** The bound of NOPT_GRAD_CLIP_NORM, FLT_MIN or more and finite. */
    double max_norm;
    /** The bound of NOPT_GRAD_CLIP_VALUE, FLT_MIN to FLT_MAX. */
    double max_value;
    /**
     * The gradients are those of the loss times this number, and are divided by it before anything else (in one
     * multiplication with the clip coefficient, rounded once; the norm is that of the divided gradients). It must be
     * FLT_MIN to FLT_MAX, as float32 losses can be multiplied by no other, or NOPT_LOSS_SCALE_ON_DEVICE; 0 stands
     * for 1.
     */
    double loss_scale;
} nopt_grad_options;

/** Says what became of the gradients in the last step. */
typedef struct nopt_grad_status {
    uint32_t struct_size;
    /** 1 if the last step was skipped. */
    uint32_t skipped;
    /** The number of steps skipped so far. */
    int64_t skipped_steps;
    /** The norm of all gradients, after division by the loss scale and before clipping; 0 if it was not needed. */
    double norm;
    /** The factor by which CLIP_NORM multiplied; 1 without it. */
    double clip_coefficient;
} nopt_grad_status;

/**
 * Sets what later steps make of the gradients. With CLIP_NORM or SKIP_NONFINITE a step first reads the gradients once
 * more, 4 bytes an element, and takes three more launches on CUDA; still nothing waits for the host. A dimer's step has
 * the norm from a pass that it takes anyway, and takes two more launches. Captured steps keep the options of the
 * capture, except NOPT_LOSS_SCALE_ON_DEVICE.
 * @param options Null stands for no options, as at first.
 */
NOPT_API nopt_status nopt_optimizer_set_grad_options(nopt_optimizer* optimizer, const nopt_grad_options* options);

/**
 * Sets the loss scale of a capturable optimizer's steps with NOPT_LOSS_SCALE_ON_DEVICE, in stream order; steps that
 * were captured before see it, too. Leave it as it is within a dimer's update.
 * @param loss_scale FLT_MIN to FLT_MAX.
 */
NOPT_API nopt_status nopt_optimizer_set_loss_scale(nopt_optimizer* optimizer, double loss_scale, void* stream);

/**
 * Sums up the squares of all gradients and stops, for norms over several optimizers or ranks. The host adds the sums
 * up, in stream order, and the next step goes on from there. (On the CPU the sum is there on return.) Steps of a dimer
 * have nopt_dimer_sum for that. NOPT_ERROR_INVALID_STATE says that the options need no sum.
 */
NOPT_API nopt_status nopt_optimizer_sum_grads(nopt_optimizer* optimizer, void* stream);

/**
 * Tells where nopt_optimizer_sum_grads puts the sum.
 * @param sum Receives the address of one double, in device memory on CUDA; it is valid until the options change.
 */
NOPT_API nopt_status nopt_optimizer_get_grad_sum(nopt_optimizer* optimizer, double** sum);

/**
 * Reads what became of the gradients, without waiting; on CUDA, in the newest step that has finished on the device.
 * @param status In: struct_size; out: all fields.
 */
NOPT_API nopt_status nopt_optimizer_get_grad_status(const nopt_optimizer* optimizer, nopt_grad_status* status);

/* ---- dimer ---- */

/*
 * A dimer (DEO, arXiv 2507.19968; Henkelman & Jonsson 1999) around an optimizer. It follows a unit direction N toward
 * the smallest (or largest) curvature of the loss and corrects the gradient along it before the rule sees it. Each
 * `interval` steps, which the host counts, an update turns N; it needs the gradient at displaced parameters:
 *
 *     gradients at theta into GRAD
 *     nopt_dimer_displace       theta -> PARAM_BACKUP, g -> GRAD_BACKUP; theta + displacement * N -> PARAM
 *     gradients at PARAM into GRAD
 *   [ nopt_dimer_rotate         turns N, displaces anew; gradients at PARAM into GRAD; any number of times ]
 *     nopt_dimer_step           turns N, corrects g, steps from theta
 *
 * With NOPT_DIMER_ANGLE_OPTIMAL and NOPT_DIMER_ANGLE_CONJUGATE at least one nopt_dimer_rotate is needed. All other
 * steps are nopt_dimer_step alone, after the gradients at theta. A host that keeps g in GRAD and puts the gradients of
 * displaced parameters elsewhere binds GRAD_DISPLACED and leaves GRAD_BACKUP unbound: then g is not copied.
 *
 * With C = (g2 - g) . N / displacement, the curvature along N (the paper prints (L(theta2) - L(theta)) / displacement,
 * which is a slope), and F = (g2 - g) - ((g2 - g) . N) N, the step takes
 *
 *     N <- normalize(N -+ rotation_rate * F)                with NOPT_DIMER_ANGLE_FIXED_RATE
 *     N <- cos(phi) N + sin(phi) F/|F|, C(phi) smallest      with NOPT_DIMER_ANGLE_OPTIMAL
 *     N <- cos(phi) N + sin(phi) S/|S|, C(phi) smallest      with NOPT_DIMER_ANGLE_CONJUGATE, S = F + beta S before
 *     g <- g - alpha (g . N) N                               with NOPT_DIMER_CORRECTION_PUBLISHED
 *     g <- g + alpha (g . N) N where C < 0, else g           with NOPT_DIMER_CORRECTION_ESCAPE
 *
 * and the rule runs on g. Where the loss is maximized, C and the sense of rotation are those of its negative.
 *
 * With nopt_grad_options, both gradients are those of loss_scale times the loss, and g and g2 above are those gradients
 * divided by it: the scale changes neither C nor N nor the status. Clipping does not change these either; it applies to
 * the corrected gradient. Let G and D = G2 - G be what the buffers hold, in float, and c the clip coefficient of the
 * norm of G / loss_scale (of all tensors, whatever the scopes). The rule then runs on
 *
 *     clip(factor * (G - a N)), factor = c / loss_scale and a = alpha (G . N) (or what ESCAPE makes of it),
 *
 * where factor and a are computed in double and rounded to float once, and clip is that of CLIP_VALUE: it bounds what
 * the rule gets, the correction included. |G|^2 comes from the pass that sums up G . N; with per-tensor scopes it is
 * added up over them. With SKIP_NONFINITE a step is skipped if a G or a D that the step itself reads is not finite, or
 * if G and D are so large that what is made of them may not be, see there. The update has then ended, and theta, the
 * states, the step counts, DIRECTION, the curvatures and the status are as they were before the call; PARAM is theta
 * again, and DIRECTION is what the update's rotations made of it (which refuse what is not finite).
 *
 * Degenerate input is refused: if the turned direction is 0 or not finite, or a gradient holds a NaN or an infinity,
 * the scope keeps its N and its curvature, the rule runs on g itself, and the status says
 * NOPT_DIMER_STATUS_ROTATION_REFUSED. If only g . N is not finite, the rule runs on g itself
 * (NOPT_DIMER_STATUS_CORRECTION_SKIPPED). No NaN is ever written to N.
 */

/** A scope is what one direction spans. */
typedef enum nopt_dimer_scope NOPT_INT32 {
    /** One direction spans all tensors together, as in the paper. */
    NOPT_DIMER_SCOPE_GLOBAL = 0,
    /** Each tensor has a direction of its own, as in the authors' code. */
    NOPT_DIMER_SCOPE_PER_TENSOR = 1
} nopt_dimer_scope;

/** The curvature that rotations look for. */
typedef enum nopt_dimer_rotation NOPT_INT32 {
    /** Rotations turn N toward the smallest curvature, which is the paper's stated aim. */
    NOPT_DIMER_ROTATION_MINIMUM_CURVATURE = 0,
    /** Rotations turn N toward the largest curvature, which is what the authors' code does. */
    NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE = 1
} nopt_dimer_rotation;

/** The force on N, which rotation_rate multiplies. */
typedef enum nopt_dimer_force NOPT_INT32 {
    /** The force is the difference of the gradients, as published; its size is in proportion to the displacement. */
    NOPT_DIMER_FORCE_DIFFERENCE = 0,
    /** The force is the difference of the gradients divided by the displacement. */
    NOPT_DIMER_FORCE_PER_DISPLACEMENT = 1
} nopt_dimer_force;

/** How far a rotation turns N. */
typedef enum nopt_dimer_angle NOPT_INT32 {
    /** N turns by rotation_rate times the force, as published. */
    NOPT_DIMER_ANGLE_FIXED_RATE = 0,
    /**
     * N turns to the smallest (or largest) curvature in the plane of N and the force, which follows from the curvatures
     * along both (Heyden et al. 2005; Kastner & Sherwood 2008, whose extrapolation of the gradient saves one evaluation
     * for each further rotation). This costs one more gradient for each update, and reads neither rotation_rate nor
     * force.
     */
    NOPT_DIMER_ANGLE_OPTIMAL = 1,
    /**
     * As OPTIMAL, but in the plane of N and a direction that is conjugate to the one before: the force, and as much of
     * the last turn as makes both conjugate for H - C, H being the Hessian (the conjugate gradients of Bradbury &
     * Fletcher 1966 for the smallest eigenvalue). The gradients of an update are those of OPTIMAL, and far fewer of
     * them are needed until N is learned. The force and the extrapolation come from GRAD_CHANGE, one more buffer, and
     * ROTATION_DIRECTION is kept from update to update. Where the search does not lead downward (the batch is another,
     * theta has moved), it begins anew from the force alone.
     */
    NOPT_DIMER_ANGLE_CONJUGATE = 2
} nopt_dimer_angle;

/** What becomes of the gradient along N. */
typedef enum nopt_dimer_correction NOPT_INT32 {
    /** g becomes g - alpha (g . N) N. An alpha above 1 reverses the component along N, and 1 removes it. */
    NOPT_DIMER_CORRECTION_PUBLISHED = 0,
    /**
     * g becomes g + alpha (g . N) N where the curvature is negative, and stays g elsewhere, so that steps lead away
     * from saddle points faster.
     */
    NOPT_DIMER_CORRECTION_ESCAPE = 1
} nopt_dimer_correction;

/** What happened to a scope in the last call. */
typedef enum nopt_dimer_status_flag NOPT_INT32 {
    /** The direction could not be turned (or normalized) and was kept; no correction was applied. */
    NOPT_DIMER_STATUS_ROTATION_REFUSED = 1,
    /** g . N was not finite; no correction was applied. */
    NOPT_DIMER_STATUS_CORRECTION_SKIPPED = 2
} nopt_dimer_status_flag;

/** What the dimer is to do in a call. Rotation, angle and displacement must stay the same within an update. */
typedef struct nopt_dimer_options {
    uint32_t struct_size;
    /** A nopt_dimer_rotation. */
    int32_t rotation;
    /** A nopt_dimer_force. */
    int32_t force;
    /** A nopt_dimer_angle. */
    int32_t angle;
    /** A nopt_dimer_correction. */
    int32_t correction;
    /** Must be 0. */
    uint32_t reserved;
    /** The distance of the displaced parameters, FLT_MIN to FLT_MAX; 10 lr in the paper. */
    double displacement;
    /** The length of a rotation with FIXED_RATE, 0 to FLT_MAX; 1e-3 in the paper. */
    double rotation_rate;
    /** The weight of the correction, 0 to FLT_MAX; 5 in the paper. */
    double alpha;
} nopt_dimer_options;

/** The values of a scope after a rotation or a step. */
typedef struct nopt_dimer_status {
    uint32_t struct_size;
    /** The sum of nopt_dimer_status_flag values. */
    uint32_t flags;
    /** The step that the values belong to: the step count of group 0 after that step; 0 before the first step. */
    int64_t step;
    /**
     * The last measured curvature C: that before a rotation of fixed rate, or that after one of another angle. It is
     * NaN if none has been measured yet.
     */
    double curvature;
    /** g . N with the direction as it is now. It is not finite if g is not. */
    double grad_dot_direction;
    /** The angle by which the last rotation turned N, in radians, 0 to pi/2. */
    double angle;
    /**
     * With CONJUGATE, how much of ROTATION_DIRECTION the search of the next update takes, in units of curvature; 0
     * where it begins anew. It is kept from update to update, as N is; see nopt_dimer_set_conjugation.
     */
    double conjugation;
} nopt_dimer_status;

/** A pass whose sums a host may add up over the ranks of a sharded model; see nopt_dimer_sum. */
typedef enum nopt_dimer_pass NOPT_INT32 {
    /** The pass of nopt_dimer_normalize_direction. */
    NOPT_DIMER_PASS_NORMALIZE = 0,
    /** The pass of the next nopt_dimer_rotate or nopt_dimer_step. */
    NOPT_DIMER_PASS_STEP = 1
} nopt_dimer_pass;

/** A dimer around an optimizer: it holds the curvatures of its scopes, and where an update stands. */
typedef struct nopt_dimer nopt_dimer;

/** Creates a dimer around an optimizer, for its set as it is. @param scope A nopt_dimer_scope. */
NOPT_API nopt_status nopt_dimer_create(nopt_optimizer* optimizer, nopt_dimer_scope scope, nopt_dimer** dimer);

/** Destroys a dimer. Displaced parameters stay displaced unless nopt_dimer_restore comes before. Null is ignored. */
NOPT_API nopt_status nopt_dimer_destroy(nopt_dimer* dimer);

/**
 * Fills in the published settings: DIFFERENCE, FIXED_RATE, PUBLISHED and MINIMUM_CURVATURE, a displacement of 1e-2 (10
 * times an lr of 1e-3), a rotation rate of 1e-3, and an alpha of 5.
 */
NOPT_API nopt_status nopt_dimer_get_defaults(nopt_dimer_options* options);

/** Tells the number of scopes: 1, or the number of the set's tensors. */
NOPT_API nopt_status nopt_dimer_get_scope_count(const nopt_dimer* dimer, int64_t* count);

/**
 * Fills DIRECTION with random numbers, symmetric about 0 and never 0, from Philox4x32-10 (Salmon et al. 2011): element
 * i of all tensors, one after another, draws from the counter first_element + i under the key `seed`. Call
 * nopt_dimer_normalize_direction next.
 * @param first_element The number of elements of the ranks before, if the model is spread over ranks; else 0.
 */
NOPT_API nopt_status nopt_dimer_init_direction(nopt_dimer* dimer, uint64_t seed, int64_t first_element, void* stream);

/**
 * Divides DIRECTION by its norm, scope by scope. A scope whose norm is 0 or not finite stays as it is, and its status
 * says so. A search for conjugate directions begins anew.
 */
NOPT_API nopt_status nopt_dimer_normalize_direction(nopt_dimer* dimer, void* stream);

/**
 * Begins an update: backs up theta (and g, if GRAD_BACKUP is bound) and writes theta + displacement * N to PARAM. It
 * takes one pass of 24 bytes an element, or 16 without GRAD_BACKUP. Until nopt_dimer_step or nopt_dimer_restore, steps
 * of other optimizers over the set give NOPT_ERROR_INVALID_STATE, and so does binding what the dimer keeps there.
 */
NOPT_API nopt_status nopt_dimer_displace(nopt_dimer* dimer, const nopt_dimer_options* options, void* stream);

/**
 * Uses the gradient at PARAM, within an update, to turn N (or to find the plane of rotation), and displaces anew.
 * @param hyperparams Those of the step. Only NOPT_FLAG_MAXIMIZE matters here.
 */
NOPT_API nopt_status nopt_dimer_rotate(nopt_dimer* dimer, const nopt_dimer_options* options,
                                       const nopt_hyperparams* hyperparams, void* stream);

/**
 * Takes one step of the optimizer on corrected gradients, see nopt_optimizer_step. It ends an update, if there is one:
 * it turns N and steps from the backed up theta, so that PARAM needs no restoring. It takes two passes (and a small one
 * on CUDA): 12 + 40 bytes an element for the Adam family (16 + 40 for the optimal angle, 20 + 40 with conjugate
 * directions), or 8 + 32 without an update. NOPT_ERROR_INVALID_STATE says that such an angle needs a nopt_dimer_rotate
 * first, or that the loss scale, or whether the norm is needed, is not as the update's rotations had it.
 */
NOPT_API nopt_status nopt_dimer_step(nopt_dimer* dimer, const nopt_dimer_options* options,
                                     const nopt_hyperparams* hyperparams, void* stream);

/** Gives an update up: PARAM is theta again, bit for bit. GRAD stays as it is, and N as rotations have turned it. */
NOPT_API nopt_status nopt_dimer_restore(nopt_dimer* dimer, void* stream);

/**
 * Computes the sums of the coming pass and stops, for a model that is spread over ranks. The host adds them up over the
 * ranks (in stream order, with its own engine), and the next call of that pass goes on from there, with all buffers as
 * they were. Every sum is a binary tree over chunks of 16384 elements, in the order of the tensors: ranks that hold
 * aligned subtrees get the bits that one rank with all the tensors would. What nopt_grad_options need for the norm is
 * among the sums, so that clipping and skipping are the same on all ranks; set the options before.
 * @param pass Says which call comes next.
 */
NOPT_API nopt_status nopt_dimer_sum(nopt_dimer* dimer, nopt_dimer_pass pass, void* stream);

/**
 * Tells where nopt_dimer_sum puts the sums.
 * @param sums  Receives the address, in device memory on CUDA; it is valid as long as the dimer.
 * @param count Receives the number of doubles; all of them are to be added up.
 */
NOPT_API nopt_status nopt_dimer_get_sums(nopt_dimer* dimer, double** sums, int64_t* count);

/**
 * Reads a scope's values without waiting; on CUDA they are those of the newest call that has finished on the device.
 * After nopt_stream_synchronize they are those of the last call.
 * @param scope  The tensor's index, or 0 if there is one scope.
 * @param status In: struct_size; out: all fields.
 */
NOPT_API nopt_status nopt_dimer_get_status(const nopt_dimer* dimer, int64_t scope, nopt_dimer_status* status);

/**
 * Sets the curvatures, to resume. It waits for the stream.
 * @param count     The number of scopes.
 * @param curvature One value for each scope, copied; NaN where none was measured yet.
 */
NOPT_API nopt_status nopt_dimer_set_curvature(nopt_dimer* dimer, int64_t count, const double* curvature, void* stream);

/**
 * Sets what nopt_dimer_status calls conjugation, to resume with CONJUGATE, beside ROTATION_DIRECTION and DIRECTION;
 * after nopt_dimer_normalize_direction, if that is called. It waits for the stream.
 * @param count       The number of scopes.
 * @param conjugation One finite value for each scope, copied; 0 begins the search anew.
 */
NOPT_API nopt_status nopt_dimer_set_conjugation(nopt_dimer* dimer, int64_t count, const double* conjugation,
                                                void* stream);

/**
 * Tells the roles of the dimer that calls with these options need beside the optimizer's: DIRECTION, PARAM_BACKUP and,
 * for angles that are not of fixed rate, ROTATION_DIRECTION; for conjugate directions GRAD_CHANGE, too. A caller adds
 * GRAD_BACKUP or GRAD_DISPLACED, as it prefers.
 * @param role_mask Receives the sum of 1 << nopt_role.
 */
NOPT_API nopt_status nopt_dimer_get_roles(const nopt_dimer* dimer, const nopt_dimer_options* options,
                                          uint32_t* role_mask);

#ifdef __cplusplus
}
#endif

#endif
