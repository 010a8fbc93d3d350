// Logarithm, exponential and power in double from additions, multiplications and divisions alone, so that the host,
// every instruction set and a device have the same bits, which the C library's functions do not promise. They are right
// to some units in the last place, which is far below what rules round to float afterwards.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "rules/rule.h"

namespace nopt {

// 2^exponent, for exponents of normal numbers.
NOPT_HD double power_of_two(int64_t exponent) {
    const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
    double result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

// The natural logarithm of a normal number above 0; that of 0 is -infinity.
NOPT_HD double portable_log(double x) {
    if (x == 0.0) {
        return -INFINITY;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t exponent = static_cast<int64_t>(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | uint64_t{1023} << 52;
    double fraction;
    memcpy(&fraction, &bits, sizeof fraction);
    if (fraction > 1.4142135623730951) {
        fraction *= 0.5;
        exponent += 1;
    }
    // ln f = 2 artanh s, s = (f - 1) / (f + 1), |s| < 0.172: the terms after s^21 are below 1e-17 of the first.
    const double s = (fraction - 1.0) / (fraction + 1.0);
    double series = 0.0;
    for (int k = 21; k >= 1; k -= 2) {
        series = series * (s * s) + 1.0 / k;
    }
    return static_cast<double>(exponent) * 0.6931471805599453 + 2.0 * s * series;
}

// e^x; below -708 it is 0, above 709 infinite.
NOPT_HD double portable_exp(double x) {
    if (x > 709.0) {
        return INFINITY;
    }
    if (!(x > -708.0)) {
        return 0.0;
    }
    const double multiple = floor(x * 1.4426950408889634 + 0.5);
    // ln 2 in two parts, of which the first has zeros enough for its product to be exact.
    const double rest = (x - multiple * 0.69314718036912382) - multiple * 1.9082149292705877e-10;
    double series = 1.0;  // |rest| < 0.347: the terms after the 14th are below 1e-17
    for (int k = 14; k >= 1; --k) {
        series = 1.0 + series * rest / k;
    }
    return series * power_of_two(static_cast<int64_t>(multiple));
}

// base^exponent, for a base that is 0 or a normal number above it.
NOPT_HD double portable_pow(double base, double exponent) {
    return exponent == 0.0 || base == 1.0 ? 1.0 : portable_exp(exponent * portable_log(base));
}

}  // namespace nopt
