// Where a dimer's update stands, and what each call does there. The one place that knows the order of calls.
#pragma once

#include "dimer/dimer.h"

namespace nopt {

// Along what the parameters are displaced.
enum DimerPhase {
    kAtTheta,  // not at all: no update is under way
    kAlongDirection,
    kAlongRotationDirection
};

enum DimerCall {
    kCallDisplace,
    kCallRotate,
    kCallStep,
    kCallRestore
};

struct DimerTransition {
    const char* refusal;     // why the call does not fit; null: it does
    DimerDecision decision;  // of calls that decide: rotate and step
    DimerPhase next;
};

// `optimal` says whether the angle is NOPT_DIMER_ANGLE_OPTIMAL.
inline DimerTransition dimer_transition(DimerPhase phase, DimerCall call, bool optimal) {
    constexpr DimerDecision kNone = kDecideProject;
    switch (call) {
        case kCallDisplace:
            return {phase == kAtTheta ? nullptr
                                      : "the parameters are displaced; end the update with nopt_dimer_step or "
                                        "nopt_dimer_restore",
                    kNone, kAlongDirection};
        case kCallRotate:
            if (phase == kAtTheta) {
                return {"the parameters are not displaced; call nopt_dimer_displace first", kNone, phase};
            }
            if (!optimal) {
                return {nullptr, kDecideRotate, kAlongDirection};
            }
            return {nullptr, phase == kAlongDirection ? kDecidePlane : kDecideOptimizeAgain, kAlongRotationDirection};
        case kCallStep:
            if (phase == kAtTheta) {
                return {nullptr, kDecideProject, kAtTheta};
            }
            if (!optimal) {
                return {nullptr, kDecideRotate, kAtTheta};
            }
            return {phase == kAlongDirection ? "the optimal angle needs nopt_dimer_rotate, and another gradient, first"
                                             : nullptr,
                    kDecideOptimize, kAtTheta};
        case kCallRestore:
            return {phase == kAtTheta ? "the parameters are not displaced" : nullptr, kNone, kAtTheta};
    }
    return {"the call is unknown", kNone, phase};
}

// What the sums of the coming rotation or step are for, as far as the phase tells: a rotation that finds the plane has
// those of one by the rate.
inline DimerDecision dimer_sums_decision(DimerPhase phase) {
    return phase == kAtTheta ? kDecideProject : phase == kAlongDirection ? kDecideRotate : kDecideOptimize;
}

}  // namespace nopt
