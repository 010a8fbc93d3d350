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

// What each angle decides, in the order of nopt_dimer_angle; that of a fixed rate has no T.
struct AngleDecisions {
    DimerDecision along_direction;
    DimerDecision along_rotation_direction;
    DimerDecision again;
};
constexpr AngleDecisions kAngleDecisions[] = {
    {kDecideRotate, kDecideRotate, kDecideRotate},
    {kDecidePlane, kDecideOptimize, kDecideOptimizeAgain},
    {kDecideConjugatePlane, kDecideConjugate, kDecideConjugateAgain},
};

inline DimerTransition dimer_transition(DimerPhase phase, DimerCall call, int32_t angle) {
    const AngleDecisions& decisions = kAngleDecisions[angle];
    const bool has_rate = angle == NOPT_DIMER_ANGLE_FIXED_RATE;
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
            return {nullptr, phase == kAlongDirection ? decisions.along_direction : decisions.again,
                    has_rate ? kAlongDirection : kAlongRotationDirection};
        case kCallStep:
            if (phase == kAtTheta) {
                return {nullptr, kDecideProject, kAtTheta};
            }
            return {!has_rate && phase == kAlongDirection
                        ? "an angle that is not of fixed rate needs nopt_dimer_rotate, and another gradient, first"
                        : nullptr,
                    decisions.along_rotation_direction, kAtTheta};
        case kCallRestore:
            return {phase == kAtTheta ? "the parameters are not displaced" : nullptr, kNone, kAtTheta};
    }
    return {"the call is unknown", kNone, phase};
}

// What the sums of the coming rotation or step are for; `angle` is that of the update, if there is one.
inline DimerDecision dimer_sums_decision(DimerPhase phase, int32_t angle) {
    const AngleDecisions& decisions = kAngleDecisions[angle];
    return phase == kAtTheta          ? kDecideProject
           : phase == kAlongDirection ? decisions.along_direction
                                      : decisions.along_rotation_direction;
}

}  // namespace nopt
