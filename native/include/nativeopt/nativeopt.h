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
 *    payload of NaNs excepted).
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
#define NOPT_ABI_VERSION 1

/** CUDA's legacy default stream, by name (the same as NULL). */
#define NOPT_STREAM_LEGACY ((void*)0x1)

/** CUDA's per-thread default stream. */
#define NOPT_STREAM_PER_THREAD ((void*)0x2)

/* ---- status and versions ---- */

/** What a call came to. Values are never reused. */
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
    /** A defect of the library itself. */
    NOPT_ERROR_INTERNAL = 9,
    /** The call does not fit what was called before, e.g. a restore without a displacement. */
    NOPT_ERROR_INVALID_STATE = 10
} nopt_status;

/** The ABI version of the loaded library; equal to NOPT_ABI_VERSION of the header that it was built with. */
NOPT_API uint32_t nopt_abi_version(void);

/** The library's version, "major.minor.patch". Static storage. */
NOPT_API const char* nopt_version(void);

/** What the build contains, one line, e.g. "GCC 12.2.0; cpu: baseline x86-64-v3; cuda: 11.8". Static storage. */
NOPT_API const char* nopt_build_info(void);

/**
 * The text of the calling thread's last failed call, or "" if none failed yet.
 * Valid until the next call into the library on this thread.
 */
NOPT_API const char* nopt_last_error_message(void);

/**
 * Every public struct with its size and each field's offset and size, for bindings to compare with their own:
 * lines "struct NAME SIZE" followed by lines "field NAME OFFSET SIZE", in declaration order. Static storage.
 */
NOPT_API const char* nopt_abi_layout(void);

/* ---- devices ---- */

/** Where a parameter set lives and its steps run. */
typedef enum nopt_backend NOPT_INT32 {
    NOPT_BACKEND_CPU = 0,
    NOPT_BACKEND_CUDA = 1
} nopt_backend;

/** A device, as nopt_device_get_info() describes it. */
typedef struct nopt_device_info {
    uint32_t struct_size;
    /** A nopt_backend. */
    int32_t backend;
    /** Index among the backend's devices, from 0. */
    int32_t index;
    /** CUDA: streaming multiprocessors; CPU: threads of the library's pool. */
    int32_t processor_count;
    /** CUDA: compute capability, e.g. 9 and 0; CPU: 0. */
    int32_t compute_capability_major;
    int32_t compute_capability_minor;
    /** Bytes of memory on the device; 0 if unknown. */
    int64_t memory_bytes;
    /** Product name, UTF-8, zero-terminated. */
    char name[128];
} nopt_device_info;

/**
 * The number of devices of a backend (CPU: 1).
 * @param count Receives the number; 0 where the status is NOPT_ERROR_UNAVAILABLE, whose message says why there are
 *              none: not compiled in, no driver, or no device.
 */
NOPT_API nopt_status nopt_device_count(nopt_backend backend, int32_t* count);

/** Describes a device. @param info In: struct_size; out: all fields. */
NOPT_API nopt_status nopt_device_get_info(nopt_backend backend, int32_t device_index, nopt_device_info* info);

/** An instruction set that the CPU backend's kernels were compiled for. */
typedef struct nopt_cpu_isa_info {
    uint32_t struct_size;
    /** 1 if this processor can run it. */
    int32_t supported;
    /** 1 if steps use it now. */
    int32_t selected;
    int32_t reserved;
    /** "baseline", "x86-64-v3", "x86-64-v4"; zero-terminated. */
    char name[32];
} nopt_cpu_isa_info;

/** The number of instruction sets compiled in. */
NOPT_API int32_t nopt_cpu_isa_count(void);

/** Describes instruction set `index`, from 0 (the most portable) to nopt_cpu_isa_count() - 1. */
NOPT_API nopt_status nopt_cpu_isa_get_info(int32_t index, nopt_cpu_isa_info* info);

/**
 * Selects the instruction set of later CPU steps of the whole process, by name. At start it is the widest that the
 * processor supports, or the one that the environment variable NATIVEOPT_CPU_ISA names. Results have the same bits
 * with each; this is for measurements and tests.
 */
NOPT_API nopt_status nopt_cpu_set_isa(const char* name);

/**
 * Bounds the threads (the calling one included) of later CPU steps of the whole process, 1 to 1024. At start it is the
 * number of processors available to the process, or that of the environment variable NATIVEOPT_NUM_THREADS. Threads
 * are created here or at the first step that needs them, never again. They look out for the next step for 50
 * microseconds before they sleep, unless there are more of them than processors; a small step wakes none. Results have
 * the same bits with any number.
 */
NOPT_API nopt_status nopt_cpu_set_num_threads(int32_t num_threads);

/** The bound on threads now. */
NOPT_API nopt_status nopt_cpu_get_num_threads(int32_t* num_threads);

/* ---- memory ---- */

/** Element types of buffers. */
typedef enum nopt_dtype NOPT_INT32 {
    /** IEEE 754 binary32. */
    NOPT_DTYPE_FLOAT32 = 1,
    /** The upper 16 bits of a float32. */
    NOPT_DTYPE_BFLOAT16 = 2,
    /** IEEE 754 binary16. */
    NOPT_DTYPE_FLOAT16 = 3,
    /**
     * States only: blocks of 256 elements, the last one perhaps shorter. Each block is a float32, the largest magnitude
     * in it, and after that a byte for each element, which names one of 256 fixed numbers between -1 and 1 (0 and 1 for
     * EXP_AVG_SQ and MAX_EXP_AVG_SQ) to be multiplied with it. The numbers are those of dynamic quantization (Dettmers
     * et al. 2022, "8-bit Optimizers via Block-wise Quantization"): they reach down to less than 1e-6, spaced finer in
     * each larger decade. Byte 0 is 0, and bytes count up from there; from 129 on, with a sign, they are the negatives
     * of 256 minus the byte. What is stored is rounded to the nearest; a state that is not finite makes all of its
     * block NaN. Bytes of a tensor: elements + 4 * ceil(elements / 256).
     */
    NOPT_DTYPE_DYNAMIC8 = 4
} nopt_dtype;

/** The bytes of a buffer of `count` elements. @param bytes Receives them. */
NOPT_API nopt_status nopt_dtype_get_bytes(nopt_dtype dtype, int64_t count, int64_t* bytes);

/**
 * Allocates device memory, for hosts that have no allocator of their own. Not initialised.
 * @param bytes 0 gives a null pointer.
 * @param memory Receives the pointer, aligned to at least 64 bytes; free it with nopt_memory_free. On the CPU
 *     large buffers begin at different places of a page, since processors may take time to tell streams apart that are
 *     at the same one, and ask for large pages, on Linux.
 */
NOPT_API nopt_status nopt_memory_alloc(nopt_backend backend, int32_t device_index, int64_t bytes, void** memory);

/** Frees memory of nopt_memory_alloc. Null is ignored. On CUDA this waits for the device's work. */
NOPT_API nopt_status nopt_memory_free(nopt_backend backend, int32_t device_index, void* memory);

/**
 * Copies bytes between non-overlapping buffers in stream order. On CUDA either side may be host or device memory; host
 * memory must stay untouched until nopt_stream_synchronize.
 */
NOPT_API nopt_status nopt_memory_copy(nopt_backend backend, int32_t device_index, void* destination, const void* source,
                                      int64_t bytes, void* stream);

/**
 * Sets `count` elements of a device buffer to `value`, in stream order.
 * @param destination Aligned to its elements; of NOPT_DTYPE_DYNAMIC8 to 4 bytes.
 * @param dtype The elements' type.
 * @param value Rounded to float32, and from there to `dtype`, to nearest. Of NOPT_DTYPE_DYNAMIC8 only 0:
 *     NOPT_ERROR_UNSUPPORTED otherwise.
 */
NOPT_API nopt_status nopt_memory_fill(nopt_backend backend, int32_t device_index, void* destination, int64_t count,
                                      nopt_dtype dtype, double value, void* stream);

/** Creates a stream that does not wait for the legacy default stream. @param stream On CPU it receives NULL. */
NOPT_API nopt_status nopt_stream_create(nopt_backend backend, int32_t device_index, void** stream);

/** Destroys a stream of nopt_stream_create. Null is ignored. */
NOPT_API nopt_status nopt_stream_destroy(nopt_backend backend, int32_t device_index, void* stream);

/** Waits until all work queued on the stream has finished, and reports its faults. */
NOPT_API nopt_status nopt_stream_synchronize(nopt_backend backend, int32_t device_index, void* stream);

/* ---- parameter sets ---- */

/** What a buffer of a tensor is for. Each role holds as many elements as the tensor. */
typedef enum nopt_role NOPT_INT32 {
    /** The parameter, theta. Read and written. */
    NOPT_ROLE_PARAM = 0,
    /**
     * The gradient of the loss, g. Only read; two tensors' gradients may share memory. An address may be null: that
     * tensor is frozen, and neither it nor its states move. (Dimers need all gradients.)
     */
    NOPT_ROLE_GRAD = 1,
    /** First moment, m. State: zero before the first step. */
    NOPT_ROLE_EXP_AVG = 2,
    /** Second moment, v. State: zero before the first step. */
    NOPT_ROLE_EXP_AVG_SQ = 3,
    /** Running maximum of v, for AMSGrad. State: zero before the first step. */
    NOPT_ROLE_MAX_EXP_AVG_SQ = 4,
    /** Momentum of SGD. State: zero before the first step. */
    NOPT_ROLE_MOMENTUM_BUFFER = 5,
    /** Dimer: the direction N, a unit vector over each scope. State. */
    NOPT_ROLE_DIRECTION = 6,
    /** Dimer: the gradient at the displaced parameters, g2, of hosts that keep g in GRAD meanwhile. Only read. */
    NOPT_ROLE_GRAD_DISPLACED = 7,
    /** Dimer: theta, while PARAM holds the displaced parameters. Scratch between displacement and step. */
    NOPT_ROLE_PARAM_BACKUP = 8,
    /** Dimer: g, while the host computes g2 in GRAD. Scratch between displacement and step. */
    NOPT_ROLE_GRAD_BACKUP = 9,
    /** Dimer: the unit vector that spans the plane of rotation with N, for the optimal angle. Scratch, as above. */
    NOPT_ROLE_ROTATION_DIRECTION = 10,
    /**
     * Theta in float32 for tensors whose PARAM has 16 bits: steps are taken here, and PARAM is its rounded copy. State:
     * a copy of PARAM before the first step. An address may be null: that tensor has none.
     */
    NOPT_ROLE_MASTER_PARAM = 11,
    /**
     * The 16 bits that a bfloat16 PARAM lacks of theta, two bytes an element: with them it is the same float32 that
     * MASTER_PARAM would hold, in half of the memory. State: zero before the first step, and again whenever the host
     * writes PARAM. An address may be null: that tensor has none.
     */
    NOPT_ROLE_PARAM_REMAINDER = 12
} nopt_role;

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
 * Sets the element types of a role that is not bound now: of GRAD (GRAD_DISPLACED and GRAD_BACKUP have the same), any
 * but DYNAMIC8; of EXP_AVG, EXP_AVG_SQ, MAX_EXP_AVG_SQ and MOMENTUM_BUFFER, float32 (what they are at first), bfloat16
 * or DYNAMIC8. PARAM keeps the types of creation, PARAM_BACKUP has the same, and all other roles are float32.
 * Arithmetic is in float32 always; what is stored is rounded to nearest, ties to even, except as DYNAMIC8,
 * MASTER_PARAM, PARAM_REMAINDER and NOPT_FLAG_STOCHASTIC_ROUNDING say.
 * @param dtypes One for each tensor, copied. Null: what they were at first.
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
 * Scales the learning rate per tensor: tensor i uses lr * lr_scale[i].
 * @param lr_scale One finite value >= 0 for each tensor, copied. Null: all 1.
 */
NOPT_API nopt_status nopt_param_set_set_lr_scale(nopt_param_set* set, int64_t tensor_count, const double* lr_scale);

/**
 * Sets the weight decay per tensor, in place of nopt_hyperparams.weight_decay.
 * @param weight_decay One value for each tensor, copied: finite and >= 0, or NOPT_INHERIT to use the step's. Null: all
 *                     inherit.
 */
NOPT_API nopt_status nopt_param_set_set_weight_decay(nopt_param_set* set, int64_t tensor_count,
                                                     const double* weight_decay);

/** A per-tensor value that stands for the step's own. */
#define NOPT_INHERIT (-1.0)

/** The most groups of hyperparameters. (Tensors that differ in learning rate and weight decay alone need no groups.) */
#define NOPT_MAX_GROUPS 16

/**
 * Puts tensors into groups that have hyperparameters of their own; see nopt_optimizer_set_group_count.
 * @param group One index for each tensor, 0 to NOPT_MAX_GROUPS - 1, copied. Null: all 0.
 */
NOPT_API nopt_status nopt_param_set_set_groups(nopt_param_set* set, int64_t tensor_count, const int32_t* group);

/**
 * Brings what changed in the set (addresses, per-tensor options) to the device, in stream order. Steps do so by
 * themselves; only while a stream is being captured they cannot. Graphs use what the newest upload before their replay
 * brought, so that new addresses reach a captured step. Does nothing on CPU.
 */
NOPT_API nopt_status nopt_param_set_upload(nopt_param_set* set, void* stream);

/* ---- rules and optimizers ---- */

/** Options of a step; which of them a rule knows is in nopt_rule_info.flags. */
typedef enum nopt_flag NOPT_INT32 {
    /** Divide by (or multiply with) the running maximum of v. Reddi et al. 2018; as torch defines it. */
    NOPT_FLAG_AMSGRAD = 1,
    /** Ascend: the gradient's sign is flipped before anything else. */
    NOPT_FLAG_MAXIMIZE = 2,
    /** theta <- (1 - lr * weight_decay) * theta before the update (Loshchilov & Hutter 2019), not L2 in the gradient.
     */
    NOPT_FLAG_DECOUPLED_WEIGHT_DECAY = 4,
    /** Nesterov momentum; needs momentum > 0. Sutskever et al. 2013; as torch defines it. */
    NOPT_FLAG_NESTEROV = 8,
    /** The inverse part multiplies by (sqrt(v_hat) + eps), as the published code of DualAdam does, not by sqrt(v_hat).
     */
    NOPT_FLAG_INVERSE_EPSILON = 16,
    /**
     * bfloat16 parameters without MASTER_PARAM or PARAM_REMAINDER are rounded up or down at random, right on average
     * (Croci et al. 2022), by Philox4x32-10 of rounding_seed, the step, the tensor's index and the element's. All rules
     * know it.
     */
    NOPT_FLAG_STOCHASTIC_ROUNDING = 32
} nopt_flag;

/** Which fields of nopt_hyperparams a rule reads (lr, weight_decay and flags: all rules). */
typedef enum nopt_hyperparam NOPT_INT32 {
    /** beta1, beta2 and eps. */
    NOPT_HYPERPARAM_BETAS_EPS = 1,
    NOPT_HYPERPARAM_MOMENTUM = 2,
    NOPT_HYPERPARAM_SWITCHING_RATE = 4
} nopt_hyperparam;

/** nopt_hyperparams.lr of capturable optimizers: that of nopt_optimizer_set_lr, as the step finds it on the device. */
#define NOPT_LR_ON_DEVICE (-1.0)

/** What a step is to do. A field that the rule does not read must be 0. Scalars are rounded to float once, at use. */
typedef struct nopt_hyperparams {
    uint32_t struct_size;
    /** Sum of nopt_flag values. */
    uint32_t flags;
    /** Learning rate, finite and >= 0; or NOPT_LR_ON_DEVICE. */
    double lr;
    /** Decay of the first moment, in [0, 1). */
    double beta1;
    /** Decay of the second moment, in [0, 1). */
    double beta2;
    /** Added to sqrt(v_hat); finite and >= 0. */
    double eps;
    /** Finite and >= 0. */
    double weight_decay;
    /** Decay of SGD's momentum buffer, finite and >= 0; 0 uses no buffer. */
    double momentum;
    /** DualAdam's xi, finite and >= 0: the weight of the inverse part at step t is max(0, 1 - xi * t). */
    double switching_rate;
    /** Selects the random numbers of NOPT_FLAG_STOCHASTIC_ROUNDING; 0 without it. */
    uint64_t rounding_seed;
} nopt_hyperparams;

/** An update rule compiled into the library. */
typedef struct nopt_rule_info {
    uint32_t struct_size;
    /** Sum of the nopt_flag values that the rule knows. */
    uint32_t flags;
    /** Sum of the nopt_hyperparam values that the rule reads. */
    uint32_t hyperparams;
    uint32_t reserved;
    /** The name that nopt_optimizer_create takes, zero-terminated. */
    char name[32];
} nopt_rule_info;

/** The number of update rules. */
NOPT_API int32_t nopt_rule_count(void);

/** Describes rule `index`, from 0 to nopt_rule_count() - 1. The order is not part of the ABI; names are. */
NOPT_API nopt_status nopt_rule_get_info(int32_t index, nopt_rule_info* info);

/** The rule's default hyperparameters: torch's, or the paper's. @param hyperparams In: struct_size; out: all fields. */
NOPT_API nopt_status nopt_rule_get_defaults(const char* rule, nopt_hyperparams* hyperparams);

/** A rule's progress over a parameter set: the step count and the running products of the betas. */
typedef struct nopt_optimizer nopt_optimizer;

/** An optimizer's scalars; with the state buffers, all that a resumed run needs. */
typedef struct nopt_step_state {
    uint32_t struct_size;
    /** Must be 0. */
    uint32_t reserved;
    /** Steps taken, t; 0 before the first. */
    int64_t step;
    /** The product of beta1 over all steps taken, in [0, 1]; 1 before the first. */
    double beta1_product;
    /** The product of beta2 over all steps taken, in [0, 1]; 1 before the first. */
    double beta2_product;
} nopt_step_state;

/**
 * Creates an optimizer at step 0 over a set.
 * @param rule "adam", "invadam", "dualadam", "sgd"; see nopt_rule_get_info.
 */
NOPT_API nopt_status nopt_optimizer_create(nopt_param_set* set, const char* rule, nopt_optimizer** optimizer);

/** Destroys an optimizer; the set and all buffers stay. Null is ignored. */
NOPT_API nopt_status nopt_optimizer_destroy(nopt_optimizer* optimizer);

/**
 * The roles that a step with these hyperparameters needs.
 * @param role_mask Receives the sum of 1 << nopt_role.
 */
NOPT_API nopt_status nopt_optimizer_get_roles(const nopt_optimizer* optimizer, const nopt_hyperparams* hyperparams,
                                              uint32_t* role_mask);

/**
 * Reads the step count and the products. @param state In: struct_size; out: all fields. Of a capturable optimizer: as
 * of the newest step that has finished on the device.
 */
NOPT_API nopt_status nopt_optimizer_get_state(const nopt_optimizer* optimizer, nopt_step_state* state);

/** Sets the step count and the products, to resume. Of a capturable optimizer it waits for the device. */
NOPT_API nopt_status nopt_optimizer_set_state(nopt_optimizer* optimizer, const nopt_step_state* state);

/**
 * Where the step count and the products are. With 1 they move to the device, which then counts the steps itself: such
 * steps, and those of dimers around the optimizer, can be captured into a CUDA graph, and replaying it k times gives
 * the bits of k steps (one small launch more for each). With 0 they come back. Waits for the stream. Before a capture,
 * run a step or nopt_param_set_upload; the hyperparameters and dimer options, but for NOPT_LR_ON_DEVICE, are those of
 * the capture. A graph uses the set, the optimizer and the dimer: destroy it before them. On CPU nothing changes but
 * that NOPT_LR_ON_DEVICE is understood.
 * @param capturable 0 or 1; 0 for new optimizers.
 */
NOPT_API nopt_status nopt_optimizer_set_capturable(nopt_optimizer* optimizer, int32_t capturable, void* stream);

/**
 * Sets the learning rate of a capturable optimizer's steps with NOPT_LR_ON_DEVICE, in stream order, for those captured
 * already, too. @param lr Finite and >= 0.
 */
NOPT_API nopt_status nopt_optimizer_set_lr(nopt_optimizer* optimizer, double lr, void* stream);

/**
 * Sets the number of groups of hyperparameters, 1 at first. Each has a step count, products of betas and, if the
 * optimizer is capturable, a learning rate of its own; those of new groups are as of a new optimizer. From then on
 * every `hyperparams` argument is an array of so many structs, one after another, each struct_size bytes; all groups
 * are stepped by the same launch. They may differ in everything but what other states need (AMSGRAD, and whether there
 * is momentum) and the rounding options. nopt_optimizer_get_state, _set_state and _set_lr mean group 0, and so does
 * what is said of "the step count" elsewhere. Captured steps are those of the groups of the capture. Waits for the
 * device if the optimizer is capturable.
 * @param group_count 1 to NOPT_MAX_GROUPS; at a step, larger than every index of nopt_param_set_set_groups.
 */
NOPT_API nopt_status nopt_optimizer_set_group_count(nopt_optimizer* optimizer, int32_t group_count);

/** As nopt_optimizer_get_state, of a group. */
NOPT_API nopt_status nopt_optimizer_get_group_state(const nopt_optimizer* optimizer, int32_t group,
                                                    nopt_step_state* state);

/** As nopt_optimizer_set_state, of a group. */
NOPT_API nopt_status nopt_optimizer_set_group_state(nopt_optimizer* optimizer, int32_t group,
                                                    const nopt_step_state* state);

/** As nopt_optimizer_set_lr, of a group. */
NOPT_API nopt_status nopt_optimizer_set_group_lr(nopt_optimizer* optimizer, int32_t group, double lr, void* stream);

/**
 * One step of all tensors: reads GRAD, updates PARAM and the rule's state buffers, advances the step count.
 * One launch for any number of tensors on CUDA; no allocation, no lock, no wait for the device.
 *
 * With t counted from 1, g = -grad if MAXIMIZE, g += weight_decay * theta if that is not decoupled:
 *  - adam:      m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; m_hat = m / (1 - beta1^t);
 *               v_hat = v / (1 - beta2^t); theta -= lr * m_hat / (sqrt(v_hat) + eps).
 *               Kingma & Ba 2015, algorithm 1.
 *  - invadam:   theta -= lr * m_hat * sqrt(v_hat). arXiv 2603.07122, InvAdam.
 *  - dualadam:  theta -= lr * (a * m_hat * sqrt(v_hat) + (1 - a) * m_hat / (sqrt(v_hat) + eps)),
 *               a = max(0, 1 - switching_rate * t). arXiv 2603.07122, DualAdam.
 *  - sgd:       b = momentum * b + g; theta -= lr * (NESTEROV ? g + momentum * b : b), or lr * g without momentum.
 */
NOPT_API nopt_status nopt_optimizer_step(nopt_optimizer* optimizer, const nopt_hyperparams* hyperparams, void* stream);

/* ---- gradients ---- */

/** What a step makes of the gradients; a dimer's step, see there, of the corrected ones. */
typedef enum nopt_grad_flag NOPT_INT32 {
    /** Multiply all gradients with min(1, max_norm / (norm + 1e-6)), norm being that of all of them together; as
     * torch.nn.utils.clip_grad_norm_ (Pascanu et al. 2013). */
    NOPT_GRAD_CLIP_NORM = 1,
    /** Then clip each element to -max_value .. max_value; as torch.nn.utils.clip_grad_value_. */
    NOPT_GRAD_CLIP_VALUE = 2,
    /**
     * Skip the step if any gradient is not finite: nothing is written and the step is not counted. Decided on the
     * device, so that on CUDA the device has to count: see nopt_optimizer_set_capturable. (Of a dimer's update, PARAM
     * is theta again.)
     */
    NOPT_GRAD_SKIP_NONFINITE = 4
} nopt_grad_flag;

/** nopt_grad_options.loss_scale of capturable optimizers: that of nopt_optimizer_set_loss_scale. */
#define NOPT_LOSS_SCALE_ON_DEVICE (-1.0)

/** Options of the gradients; see nopt_grad_flag. A field whose flag is not set must be 0. */
typedef struct nopt_grad_options {
    uint32_t struct_size;
    /** Sum of nopt_grad_flag values. */
    uint32_t flags;
    /** > 0 and finite. */
    double max_norm;
    /** > 0 and finite as a float. */
    double max_value;
    /**
     * The gradients are those of the loss times this number: they are divided by it first (in one multiplication with
     * the clip coefficient, rounded once; the norm is that of divided ones). > 0 and finite; 0 stands for 1. Or
     * NOPT_LOSS_SCALE_ON_DEVICE.
     */
    double loss_scale;
} nopt_grad_options;

/** What became of the gradients in the last step. */
typedef struct nopt_grad_status {
    uint32_t struct_size;
    /** 1 if the last step was skipped. */
    uint32_t skipped;
    /** All skipped steps so far. */
    int64_t skipped_steps;
    /** The norm of all gradients, after division by the loss scale and before clipping; 0 where it was not needed. */
    double norm;
    /** What CLIP_NORM multiplied with; 1 without it. */
    double clip_coefficient;
} nopt_grad_status;

/**
 * Sets what later steps make of the gradients. With CLIP_NORM or SKIP_NONFINITE a step reads the gradients once more
 * before, 4 bytes an element, and on CUDA takes three more launches; still nothing waits for the host. A dimer's step
 * has the norm from the pass that it takes anyway, and its launches are two more. Captured steps keep the options of
 * the capture, but for NOPT_LOSS_SCALE_ON_DEVICE.
 * @param options Null: nothing, as at first.
 */
NOPT_API nopt_status nopt_optimizer_set_grad_options(nopt_optimizer* optimizer, const nopt_grad_options* options);

/**
 * Sets the loss scale of a capturable optimizer's steps with NOPT_LOSS_SCALE_ON_DEVICE, in stream order, for those
 * captured already, too. Within a dimer's update leave it as it is. @param loss_scale > 0 and finite.
 */
NOPT_API nopt_status nopt_optimizer_set_loss_scale(nopt_optimizer* optimizer, double loss_scale, void* stream);

/**
 * For norms over several optimizers or ranks: sums up the squares of all gradients and stops. The host adds the sums
 * up, in stream order, and the next step goes on from there. (On CPU the sum is there on return.) Not for steps of a
 * dimer: see nopt_dimer_sum. NOPT_ERROR_INVALID_STATE: the options need no sum.
 */
NOPT_API nopt_status nopt_optimizer_sum_grads(nopt_optimizer* optimizer, void* stream);

/** Where nopt_optimizer_sum_grads puts the sum: one double, device memory on CUDA, valid until the options change. */
NOPT_API nopt_status nopt_optimizer_get_grad_sum(nopt_optimizer* optimizer, double** sum);

/**
 * Reads what became of the gradients, without waiting: on CUDA in the newest step that has finished on the device.
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
 * With NOPT_DIMER_ANGLE_OPTIMAL at least one nopt_dimer_rotate is needed. All other steps are nopt_dimer_step alone,
 * after the gradients at theta. A host that keeps g in GRAD and puts the gradients of displaced parameters elsewhere
 * binds GRAD_DISPLACED and leaves GRAD_BACKUP unbound: then g is not copied.
 *
 * With C = (g2 - g) . N / displacement, the curvature along N (the paper prints (L(theta2) - L(theta)) / displacement,
 * which is a slope), and F = (g2 - g) - ((g2 - g) . N) N, the step takes
 *
 *     N <- normalize(N -+ rotation_rate * F)                with NOPT_DIMER_ANGLE_FIXED_RATE
 *     N <- cos(phi) N + sin(phi) F/|F|, C(phi) smallest      with NOPT_DIMER_ANGLE_OPTIMAL
 *     g <- g - alpha (g . N) N                               with NOPT_DIMER_CORRECTION_PUBLISHED
 *     g <- g + alpha (g . N) N where C < 0, else g           with NOPT_DIMER_CORRECTION_ESCAPE
 *
 * and the rule runs on g. Where the loss is maximized, C and the sense of rotation are those of its negative.
 *
 * With nopt_grad_options, g and g2 are both those of loss_scale times the loss, and what is said above is said of g and
 * g2 divided by it: it changes neither C nor N nor the status. None of it sees clipping; the corrected gradient does.
 * With G and D = G2 - G what GRAD and its like hold, in float, and c the clip coefficient of the norm of G / loss_scale
 * (of all tensors, whatever the scopes), the rule runs on
 *
 *     clip(factor * (G - a N)), factor = c / loss_scale and a = alpha (G . N) (or what ESCAPE makes of it),
 *
 * where factor and a are computed in double and rounded to float once, and clip is that of CLIP_VALUE: it bounds what
 * the rule gets, the correction included. |G|^2 comes from the pass that sums up G . N; with per-tensor scopes it is
 * added up over them. With SKIP_NONFINITE a step is skipped if a G or a D that the step itself reads is not finite:
 * theta, states and the step count, DIRECTION, the curvatures and the status are then as they were before the call
 * (PARAM as before nopt_dimer_displace, DIRECTION as rotations of the update have left it, which refuse what is not
 * finite), and the update has ended.
 *
 * Degenerate input: if the turned direction is 0 or not finite, or a gradient holds a NaN or an infinity, the scope
 * keeps its N and its curvature, the rule runs on g itself, and the status says NOPT_DIMER_STATUS_ROTATION_REFUSED. If
 * only g . N is not finite, the rule runs on g itself (NOPT_DIMER_STATUS_CORRECTION_SKIPPED). N is never written NaN.
 */

/** What one direction spans. */
typedef enum nopt_dimer_scope NOPT_INT32 {
    /** All tensors together, as the paper has it. */
    NOPT_DIMER_SCOPE_GLOBAL = 0,
    /** Each tensor has its own, as the authors' code has it. */
    NOPT_DIMER_SCOPE_PER_TENSOR = 1
} nopt_dimer_scope;

/** Where rotations lead. */
typedef enum nopt_dimer_rotation NOPT_INT32 {
    /** Toward the smallest curvature, the paper's stated aim. */
    NOPT_DIMER_ROTATION_MINIMUM_CURVATURE = 0,
    /** Toward the largest curvature, what the authors' code does. */
    NOPT_DIMER_ROTATION_MAXIMUM_CURVATURE = 1
} nopt_dimer_rotation;

/** What rotation_rate multiplies. */
typedef enum nopt_dimer_force NOPT_INT32 {
    /** The difference of the gradients, as published: its size is in proportion to the displacement. */
    NOPT_DIMER_FORCE_DIFFERENCE = 0,
    /** The difference of the gradients divided by the displacement. */
    NOPT_DIMER_FORCE_PER_DISPLACEMENT = 1
} nopt_dimer_force;

/** How far a rotation turns. */
typedef enum nopt_dimer_angle NOPT_INT32 {
    /** By rotation_rate times the force, as published. */
    NOPT_DIMER_ANGLE_FIXED_RATE = 0,
    /**
     * To the smallest (or largest) curvature in the plane of N and the force, found from the curvatures along both
     * (Heyden et al. 2005; Kastner & Sherwood 2008, whose extrapolation of the gradient saves one evaluation for each
     * further rotation). Costs one more gradient for each update; reads neither rotation_rate nor force.
     */
    NOPT_DIMER_ANGLE_OPTIMAL = 1
} nopt_dimer_angle;

/** What becomes of the gradient along N. */
typedef enum nopt_dimer_correction NOPT_INT32 {
    /** g - alpha (g . N) N. With alpha > 1 it reverses the component, with 1 removes it. */
    NOPT_DIMER_CORRECTION_PUBLISHED = 0,
    /** g + alpha (g . N) N where the curvature is negative, g elsewhere: faster away from saddle points. */
    NOPT_DIMER_CORRECTION_ESCAPE = 1
} nopt_dimer_correction;

/** What happened in the last call, by scope. */
typedef enum nopt_dimer_status_flag NOPT_INT32 {
    /** The direction could not be turned (or normalized) and was kept; no correction was applied. */
    NOPT_DIMER_STATUS_ROTATION_REFUSED = 1,
    /** g . N was not finite; no correction was applied. */
    NOPT_DIMER_STATUS_CORRECTION_SKIPPED = 2
} nopt_dimer_status_flag;

/** What the dimer is to do in a call. Rotation, angle and displacement stay the same within an update. */
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
    /** Distance of the displaced parameters, > 0 and finite as a float; 10 lr in the paper. */
    double displacement;
    /** Length of a rotation with FIXED_RATE, finite and >= 0; 1e-3 in the paper. */
    double rotation_rate;
    /** Weight of the correction, finite and >= 0; 5 in the paper. */
    double alpha;
} nopt_dimer_options;

/** A scope's values after a rotation or a step. */
typedef struct nopt_dimer_status {
    uint32_t struct_size;
    /** Sum of nopt_dimer_status_flag values. */
    uint32_t flags;
    /** The step that it belongs to: the optimizer's step count after that step; 0 before the first. */
    int64_t step;
    /** The last measured curvature C: before a rotation of fixed rate, after one of optimal angle. NaN: none yet. */
    double curvature;
    /** g . N, with the direction as it is now; not finite if g is not. */
    double grad_dot_direction;
    /** By how much the last rotation turned N, in radians, 0 to pi/2. */
    double angle;
} nopt_dimer_status;

/** The sums of a pass that a host may add up over the ranks of a sharded model; see nopt_dimer_sum. */
typedef enum nopt_dimer_pass NOPT_INT32 {
    /** Of nopt_dimer_normalize_direction. */
    NOPT_DIMER_PASS_NORMALIZE = 0,
    /** Of the next nopt_dimer_rotate or nopt_dimer_step. */
    NOPT_DIMER_PASS_STEP = 1
} nopt_dimer_pass;

/** A dimer around an optimizer: the curvatures of its scopes, and where an update stands. */
typedef struct nopt_dimer nopt_dimer;

/** Creates a dimer around an optimizer, for its set as it is. @param scope A nopt_dimer_scope. */
NOPT_API nopt_status nopt_dimer_create(nopt_optimizer* optimizer, nopt_dimer_scope scope, nopt_dimer** dimer);

/** Destroys a dimer; displaced parameters stay displaced (nopt_dimer_restore before). Null is ignored. */
NOPT_API nopt_status nopt_dimer_destroy(nopt_dimer* dimer);

/** The published settings: DIFFERENCE, FIXED_RATE, PUBLISHED, MINIMUM_CURVATURE, 1e-2 (10 times an lr of 1e-3),
 * 1e-3, 5. */
NOPT_API nopt_status nopt_dimer_get_defaults(nopt_dimer_options* options);

/** The number of scopes: 1, or the set's tensors. */
NOPT_API nopt_status nopt_dimer_get_scope_count(const nopt_dimer* dimer, int64_t* count);

/**
 * Fills DIRECTION with random numbers, symmetric about 0 and never 0, from Philox4x32-10 (Salmon et al. 2011): element
 * i of all tensors, one after another, draws from the counter first_element + i under the key `seed`. Then normalize.
 * @param first_element >= 0; 0 unless the model is spread over ranks: the elements of the ranks before.
 */
NOPT_API nopt_status nopt_dimer_init_direction(nopt_dimer* dimer, uint64_t seed, int64_t first_element, void* stream);

/** Divides DIRECTION by its norm, scope by scope. A scope whose norm is 0 or not finite stays as it is, and says so. */
NOPT_API nopt_status nopt_dimer_normalize_direction(nopt_dimer* dimer, void* stream);

/**
 * Begins an update: backs up theta (and g, if GRAD_BACKUP is bound) and writes theta + displacement * N to PARAM.
 * One pass, 24 bytes an element, 16 without GRAD_BACKUP. Until nopt_dimer_step or nopt_dimer_restore, steps of other
 * optimizers over the set are NOPT_ERROR_INVALID_STATE, and so is binding what the dimer keeps there.
 */
NOPT_API nopt_status nopt_dimer_displace(nopt_dimer* dimer, const nopt_dimer_options* options, void* stream);

/**
 * Within an update: uses the gradient at PARAM to turn N (or to find the plane of rotation), and displaces anew.
 * @param hyperparams As for the step. Only NOPT_FLAG_MAXIMIZE matters here.
 */
NOPT_API nopt_status nopt_dimer_rotate(nopt_dimer* dimer, const nopt_dimer_options* options,
                                       const nopt_hyperparams* hyperparams, void* stream);

/**
 * One step of the optimizer on corrected gradients, see nopt_optimizer_step. Ends an update, if there is one: turns N
 * and steps from the backed up theta, so that PARAM needs no restoring. Two passes and a small one on CUDA: 12 + 40
 * bytes an element for the Adam family (16 + 40 for the optimal angle), 8 + 32 without an update.
 * NOPT_ERROR_INVALID_STATE: the optimal angle needs a nopt_dimer_rotate first; the loss scale, or whether the norm is
 * needed, is not as the update's rotations had it.
 */
NOPT_API nopt_status nopt_dimer_step(nopt_dimer* dimer, const nopt_dimer_options* options,
                                     const nopt_hyperparams* hyperparams, void* stream);

/** Gives an update up: PARAM is theta again, bit for bit. GRAD is left as it is, and N as rotations turned it. */
NOPT_API nopt_status nopt_dimer_restore(nopt_dimer* dimer, void* stream);

/**
 * For a model spread over ranks: computes the sums of the coming pass and stops. The host adds them up over the ranks
 * (in stream order, with its own engine), and the next call of that pass goes on from there, with all buffers as they
 * were. Every sum is a binary tree
 * over chunks of 16384 elements, in the order of the tensors: ranks that hold aligned subtrees get the bits that one
 * rank with all the tensors would. What nopt_grad_options need of the norm is among the sums: with them clipping and
 * skipping are the same on all ranks. Set them before.
 * @param pass What the coming call is.
 */
NOPT_API nopt_status nopt_dimer_sum(nopt_dimer* dimer, nopt_dimer_pass pass, void* stream);

/**
 * Where nopt_dimer_sum puts the sums.
 * @param sums  Receives the address: device memory on CUDA, valid as long as the dimer.
 * @param count Receives the number of doubles; all of them add up.
 */
NOPT_API nopt_status nopt_dimer_get_sums(nopt_dimer* dimer, double** sums, int64_t* count);

/**
 * Reads a scope's values without waiting: on CUDA those of the newest call that has finished on the device. After
 * nopt_stream_synchronize they are those of the last call.
 * @param scope  0, or the tensor's index.
 * @param status In: struct_size; out: all fields.
 */
NOPT_API nopt_status nopt_dimer_get_status(const nopt_dimer* dimer, int64_t scope, nopt_dimer_status* status);

/**
 * Sets the curvatures, to resume; waits for the stream.
 * @param count     The number of scopes.
 * @param curvature One for each scope, copied; NaN where none was measured yet.
 */
NOPT_API nopt_status nopt_dimer_set_curvature(nopt_dimer* dimer, int64_t count, const double* curvature, void* stream);

/**
 * The roles of the dimer that calls with these options need, beside the optimizer's: DIRECTION, PARAM_BACKUP and, for
 * the optimal angle, ROTATION_DIRECTION. GRAD_BACKUP or GRAD_DISPLACED, one of them, is the caller's choice.
 * @param role_mask Receives the sum of 1 << nopt_role.
 */
NOPT_API nopt_status nopt_dimer_get_roles(const nopt_dimer* dimer, const nopt_dimer_options* options,
                                          uint32_t* role_mask);

#ifdef __cplusplus
}
#endif

#endif
