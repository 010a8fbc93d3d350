// Every rule's equations in double, written here a second time.
#pragma once

#include <gtest/gtest.h>
#include <math.h>

#include <string>

#include "nativeopt/nativeopt.h"

namespace nopt_test {

// One element's history in double.
struct RuleReference {
    double param;
    double exp_avg = 0.0;
    double exp_avg_sq = 0.0;
    double max_exp_avg_sq = 0.0;
    double momentum_buffer = 0.0;

    void step(const std::string& rule, const nopt_hyperparams& h, double grad, int t, double lr, double weight_decay) {
        const bool decoupled = (h.flags & NOPT_FLAG_DECOUPLED_WEIGHT_DECAY) != 0;
        double g = (h.flags & NOPT_FLAG_MAXIMIZE) != 0 ? -grad : grad;
        if (decoupled) {
            param *= 1.0 - lr * weight_decay;
        } else {
            g += weight_decay * param;
        }
        if (rule == "sgd") {
            momentum_buffer = t == 1 ? g : h.momentum * momentum_buffer + g;
            const bool nesterov = (h.flags & NOPT_FLAG_NESTEROV) != 0;
            param -= lr * (h.momentum == 0.0 ? g : nesterov ? g + h.momentum * momentum_buffer : momentum_buffer);
            return;
        }
        exp_avg = h.beta1 * exp_avg + (1.0 - h.beta1) * g;
        exp_avg_sq = h.beta2 * exp_avg_sq + (1.0 - h.beta2) * g * g;
        max_exp_avg_sq = fmax(max_exp_avg_sq, exp_avg_sq);
        const double v = (h.flags & NOPT_FLAG_AMSGRAD) != 0 ? max_exp_avg_sq : exp_avg_sq;
        const double m_hat = exp_avg / (1.0 - pow(h.beta1, t));
        const double root = sqrt(v / (1.0 - pow(h.beta2, t)));
        const double direct = m_hat / (root + h.eps);
        const double inverse = m_hat * (root + ((h.flags & NOPT_FLAG_INVERSE_EPSILON) != 0 ? h.eps : 0.0));
        if (rule == "adam") {
            param -= lr * direct;
        } else if (rule == "invadam") {
            param -= lr * inverse;
        } else if (rule == "dualadam") {
            const double a = fmax(0.0, 1.0 - h.switching_rate * t);
            param -= lr * (a * inverse + (1.0 - a) * direct);
        } else {
            ADD_FAILURE() << "no reference for rule " << rule;
        }
    }
};

}  // namespace nopt_test
