// The CPU kernels for buffers of any element types. This file is compiled once for each instruction set, NOPT_CPU_ISA
// being its identifier. A pack of elements at a time is read, each role as its type asks, goes through the rule's
// update and is written, without leaving the registers: the types are data, and branch the same way for a whole tensor,
// so that a rule has one kernel for all of them. Only states of 8 bits wait, in the first cache, for the scale of their
// block.
#include "cpu/mixed_kernels.h"

#include "cpu/dynamic8_pack.h"
#include "cpu/mixed_places.h"
#include "cpu/pack.h"
#include "cpu/rounding_words.h"
#include "numerics/sums.h"
#include "rules/all_rules.h"

namespace nopt {
namespace {

static_assert(kPartElements % kBlockwiseElements == 0 && kChunkElements % kPartElements == 0,
              "parts hold whole blocks of DYNAMIC8, and chunks whole parts");

NOPT_HD Pack load(nopt_dtype type, const char* from, int64_t i, const LaneNumbers& n) {
    if (type == NOPT_DTYPE_FLOAT32) {
        return load_floats(reinterpret_cast<const float*>(from) + i);
    }
    const uint16_t* const halves = reinterpret_cast<const uint16_t*>(from) + i;
    return type == NOPT_DTYPE_BFLOAT16 ? unpack_bfloat16(load_vector<Words>(halves), n) : load_float16(halves);
}

NOPT_HD void store(nopt_dtype type, char* to, int64_t i, const Pack& pack, const LaneNumbers& n) {
    uint16_t* const halves = reinterpret_cast<uint16_t*>(to) + i;
    if (type == NOPT_DTYPE_FLOAT32) {
        store_floats(reinterpret_cast<float*>(to) + i, pack);
    } else if (type == NOPT_DTYPE_BFLOAT16) {
        store_vector(halves, round_bfloat16(pack, n));
    } else {
        store_float16(halves, pack);
    }
}

NOPT_HD Pack load_theta(const Types& types, const Places& at, int64_t i, const LaneNumbers& n) {
    if (types.theta == kThetaMaster) {
        return load_floats(reinterpret_cast<const float*>(at.master) + i);
    }
    if (types.theta == kThetaRemainder) {
        return join_remainders(load_vector<Words>(at.source + 2 * i), load_vector<Words>(at.remainder + 2 * i), n);
    }
    return load(types.param, at.source, i, n);
}

NOPT_HD void store_theta(const Types& types, const Places& at, int64_t i, const Pack& pack, const char* random,
                         const LaneNumbers& n) {
    if (types.theta == kThetaAlone) {
        store(types.param, at.param, i, pack, n);
        return;
    }
    uint16_t* const param = reinterpret_cast<uint16_t*>(at.param) + i;
    if (types.theta == kThetaStochastic) {
        store_vector(param, round_bfloat16_stochastic(pack, load_vector<Words>(random), n));
        return;
    }
    if (types.theta == kThetaRemainder) {
        store_vector(at.remainder + 2 * i, remainders_of(pack, n));
    } else {
        store_floats(reinterpret_cast<float*>(at.master) + i, pack);
    }
    if (types.param == NOPT_DTYPE_BFLOAT16) {
        store_vector(param, round_bfloat16_away(pack, n));
    } else {
        store_float16(param, pack);
    }
}

// What is kept of a part of a tensor while it is worked on.
struct Part {
    RoundingWords random[1 + kMaxStates];             // of the parameters and of each state
    Lanes states[kMaxStates][kPartElements / kPack];  // those of 8 bits, decoded
};

// What the packs of a tensor need of its dimer.
struct DimerTurn {
    bool is_there;  // and does something
    bool rotates;
    bool corrects;
    float correction;
    double along;
    double across;

    NOPT_HD DimerTurn(const MixedDimer* dimer, int64_t tensor) : DimerTurn() {
        if (dimer != nullptr) {
            const DimerScope& scope = dimer->scope(tensor);
            rotates = dimer->rotates && scope.turns != 0;
            // (0 corrects nothing, even where N is no number.)
            corrects = scope.correction != 0.0f;
            is_there = rotates || corrects;
            correction = scope.correction;
            along = scope.along;
            across = scope.across;
        }
    }

private:
    NOPT_HD DimerTurn() : is_there(false), rotates(false), corrects(false), correction(0.0f), along(0.0), across(0.0) {}
};

template <class Rule, uint32_t kStates, uint32_t kInputs>
struct Loop {
    using Scalars = typename Rule::Scalars;
    static constexpr RuleInfo kInfo = describe<Rule>();

    const MixedArgs& args;
    const int64_t tensor;
    const Scalars& scalars;
    const Types types;
    Part part;

    Loop(const MixedArgs& args_, int64_t t, const Scalars& scalars_)
        : args(args_), tensor(t), scalars(scalars_), types(types_of<kStates, kInputs>(args_, t)) {}

    template <int kState>
    static constexpr bool is_signed() {
        return kInfo.states[kState].sign == kSigned;
    }
    template <int kState>
    NOPT_HD bool is_random(const Types& own) const {
        return own.random_states && own.states[kState] == NOPT_DTYPE_BFLOAT16;
    }

    template <int kState>
    NOPT_HD Pack load_state(const Types& own, const Places& at, int64_t i, int64_t of_part,
                            const LaneNumbers& n) const {
        if (own.states[kState] == NOPT_DTYPE_DYNAMIC8) {
            return pack_of(part.states[kState][of_part / kPack]);
        }
        return load(own.states[kState], at.states[kState], i, n);
    }

    // `of_part`: which element of the part, or of all that is stepped at once, the pack's first one is.
    template <int kState>
    NOPT_HD void store_state(const Types& own, const Places& at, int64_t i, int64_t of_part, const Pack& pack,
                             const LaneNumbers& n) {
        if (own.states[kState] == NOPT_DTYPE_DYNAMIC8) {
            part.states[kState][of_part / kPack] = lanes_of(pack);
        } else if (is_random<kState>(own)) {
            const Words random = load_vector<Words>(part.random[1 + kState].of(of_part));
            store_vector(at.states[kState] + 2 * i, round_bfloat16_stochastic(pack, random, n));
        } else {
            store(own.states[kState], at.states[kState], i, pack, n);
        }
    }

    // The rule's update of a pack, whose gradient is the effective one already. What the compiler knows of the options
    // is not asked for every lane.
    template <int kDecoupled>
    NOPT_HD static void update(const Scalars& all, const Pack& grad, const Pack (&inputs)[kMaxInputs], Pack& theta,
                               Pack (&states)[kMaxStates]) {
        Scalars own = all;
        own.adjusts_grad = 0;
        own.l2 = 0;
        own.decoupled = kDecoupled;
        Lanes theta_lanes = lanes_of(theta);
        const Lanes grad_lanes = lanes_of(grad);
        Lanes state_lanes[kMaxStates];
        Lanes input_lanes[kMaxInputs];
        for_each_of<kStates>([&](auto s) { state_lanes[s.value] = lanes_of(states[s.value]); });
        for_each_of<kInputs>([&](auto n) { input_lanes[n.value] = lanes_of(inputs[n.value]); });
        NOPT_INDEPENDENT_LANES
        for (int i = 0; i < kPack; ++i) {
            Element e = {};
            e.param = theta_lanes.value[i];
            e.grad = grad_lanes.value[i];
            for_each_of<kStates>([&](auto s) { e.state[s.value] = state_lanes[s.value].value[i]; });
            for_each_of<kInputs>([&](auto n) { e.input[n.value] = input_lanes[n.value].value[i]; });
            Rule::update(e, Present{kStates, kInputs}, own);
            theta_lanes.value[i] = e.param;
            for_each_of<kStates>([&](auto s) { state_lanes[s.value].value[i] = e.state[s.value]; });
        }
        theta = pack_of(theta_lanes);
        for_each_of<kStates>([&](auto s) { states[s.value] = pack_of(state_lanes[s.value]); });
    }

    // Sets all states of an element to 0 if one of them is not finite: x - x is 0, or a NaN where x is not.
    NOPT_HD static void restart_elements(Pack (&states)[kMaxStates]) {
        Pack probe = {};
        for_each_of<kStates>([&](auto s) {
            probe.even += states[s.value].even - states[s.value].even;
            probe.odd += states[s.value].odd - states[s.value].odd;
        });
        for_each_of<kStates>([&](auto s) {
            states[s.value] = {floats_where_number(probe.even, states[s.value].even),
                               floats_where_number(probe.odd, states[s.value].odd)};
        });
    }

    // Steps the packs of `count` elements: the whole ones at `whole`, and what is left as one more at `tail`.
    NOPT_NOT_INLINED void packs(const Places& whole, const Places& tail, int64_t count) {
        // Copies that stores cannot change, for the compiler to keep in registers.
        Places at = whole;
        const Types own = types;
        const Scalars all = scalars;
        const CommonScalars common = scalars;
        const DimerTurn dimer = DimerTurn(args.dimer, tensor);
        const LaneNumbers n;
        for (int64_t of_part = 0, i = 0; of_part < count; of_part += kPack, i += kPack) {
            if (NOPT_UNLIKELY(count - of_part < kPack)) {
                at = tail;
                i = 0;
            }
            Pack theta = load_theta(own, at, i, n);
            Pack grad = load(own.grad, at.grad, i, n);
            Pack states[kMaxStates];
            Pack inputs[kMaxInputs];
            for_each_of<kStates>([&](auto s) { states[s.value] = load_state<s.value>(own, at, i, of_part, n); });
            for_each_of<kInputs>(
                [&](auto m) { inputs[m.value] = load(own.inputs[m.value], at.inputs[m.value], i, n); });
            if (dimer.is_there) {
                Pack direction = load_floats(reinterpret_cast<const float*>(at.direction) + i);
                if (dimer.rotates) {
                    const Pack displaced = load(own.grad, at.displaced, i, n);
                    const Pack difference =
                        map(displaced, grad, [](float d, float g) { return gradient_difference(d, g); });
                    direction = map(direction, difference,
                                    [&](float a, float d) { return turned(dimer.along, a, dimer.across, d); });
                    store_floats(reinterpret_cast<float*>(at.direction) + i, direction);
                }
                if (dimer.corrects) {
                    grad = map(grad, direction, [&](float g, float a) { return corrected(g, dimer.correction, a); });
                }
            }
            if (common.adjusts_grad != 0) {
                grad = map(grad, grad, [&](float g, float) { return adjusted_grad(g, common); });
            }
            if (common.l2 != 0) {
                grad = map(grad, theta, [&](float g, float p) { return l2_grad(g, p, common); });
            }
            if (common.decoupled != 0) {
                update<1>(all, grad, inputs, theta, states);
            } else {
                update<0>(all, grad, inputs, theta, states);
            }
            if (own.has_blocks) {
                restart_elements(states);
            }
            store_theta(own, at, i, theta, part.random[0].of(of_part), n);
            for_each_of<kStates>([&](auto s) { store_state<s.value>(own, at, i, of_part, states[s.value], n); });
        }
    }

    // What the elements of a part need before they are stepped: `count` of them from `begin` on.
    void prepare(const Places& at, int64_t begin, int64_t count) {
        const uint32_t id = static_cast<uint32_t>(tensor);
        if (args.dimer != nullptr && args.dimer->turn != nullptr) {
            args.dimer->turn(args.dimer->context, tensor, begin, count);
        }
        if (types.theta == kThetaStochastic) {
            draw(part.random[0], count, args.rounding_seed, kRandomRounding, scalars.step, id, begin);
        }
        for_each_of<kStates>([&](auto s) {
            if (is_random<s.value>(types)) {
                draw(part.random[1 + s.value], count, args.rounding_seed, kRandomStates + s.value, scalars.step, id,
                     begin);
            }
            if (types.states[s.value] == NOPT_DTYPE_DYNAMIC8) {
                decode_blocks<is_signed<s.value>()>(at.states[s.value], count, part.states[s.value]);
            }
        });
    }

    void encode(const Places& at, int64_t count) {
        for_each_of<kStates>([&](auto s) {
            if (types.states[s.value] == NOPT_DTYPE_DYNAMIC8) {
                encode_blocks<is_signed<s.value>()>(part.states[s.value], count, at.states[s.value]);
            }
        });
    }

    void run(int64_t begin, int64_t end) {
        const bool in_parts = types.has_blocks || types.theta == kThetaStochastic || types.random_states ||
                              (args.dimer != nullptr && args.dimer->turn != nullptr);
        const int64_t step = in_parts ? kPartElements : end - begin;
        for (int64_t at = begin; at < end; at += step) {
            const int64_t count = end - at < step ? end - at : step;
            const int64_t left = count % kPack;
            const Places places = places_at<kStates, kInputs>(args, types, tensor, at);
            if (in_parts) {
                prepare(places, at, count);
            }
            if (left == 0) {
                packs(places, places, count);
            } else {
                Tail room;
                const Places last = places_after<kStates, kInputs>(types, places, count - left);
                const Places tail = room.template take<kStates, kInputs>(types, last, left);
                packs(places, tail, count);
                Tail::give<kStates>(types, tail, last, left);
            }
            if (types.has_blocks) {
                encode(places, count);
            }
        }
    }
};

// Finds the loop for the inputs that the tensor has now.
template <class Rule, uint32_t kStates, uint32_t kInputs>
void tensor_loop_for(uint32_t inputs, const MixedArgs& args, int64_t t, const typename Rule::Scalars& scalars) {
    if constexpr (kInputs != 0) {
        if (inputs != kInputs) {
            tensor_loop_for<Rule, kStates, kInputs - 1>(inputs, args, t, scalars);
            return;
        }
    }
    const int64_t begin = t == args.first ? args.begin : 0;
    const int64_t end = t == args.last ? args.end : args.buffers.counts[t];
    Loop<Rule, kStates, kInputs>(args, t, scalars).run(begin, end);
}

template <class Rule, uint32_t kStates>
void elementwise(const MixedArgs& args) {
    constexpr int kInputCount = describe<Rule>().inputs.count;
    const typename Rule::Scalars& scalars = *static_cast<const typename Rule::Scalars*>(args.scalars);
    for (int64_t t = args.first; t <= args.last; ++t) {
        if (args.buffers.given.address(t) == nullptr) {
            continue;
        }
        uint32_t inputs = 0;
        for (int n = 0; n < kInputCount; ++n) {
            inputs |= args.buffers.inputs[n].address(t) != nullptr ? 1u << n : 0u;
        }
        tensor_loop_for<Rule, kStates, (1u << kInputCount) - 1u>(inputs, args, t, scalars);
    }
}

template <class Rule, int kVariant>
constexpr MixedKernel kernel_of() {
    constexpr RuleInfo kInfo = describe<Rule>();
    if constexpr (kVariant < kInfo.variants.count) {
        return &elementwise<Rule, kInfo.variants[kVariant]>;
    } else {
        return nullptr;
    }
}

static_assert(kMaxVariants == 4, "a row of the table below names every variant");

}  // namespace

extern const MixedKernels NOPT_JOIN(mixed_kernels_, NOPT_CPU_ISA);
const MixedKernels NOPT_JOIN(mixed_kernels_, NOPT_CPU_ISA) = {{
#define NOPT_RULE(Type, header) \
    {kernel_of<Type, 0>(), kernel_of<Type, 1>(), kernel_of<Type, 2>(), kernel_of<Type, 3>()},
#include "rules/rules.def"
#undef NOPT_RULE
}};

}  // namespace nopt
