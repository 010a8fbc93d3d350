// Division by the scale of a block of NOPT_DTYPE_DYNAMIC8, where a division costs more than some products.
#pragma once

#include <math.h>

#include "numerics/dynamic8.h"

namespace nopt {

// Divides by one number again and again, with the codes of a division. The product with the reciprocal is corrected
// once, by what is left of the dividend. (Markstein 1990, "Computation of elementary functions on the IBM RISC
// System/6000 processor", theorem 8, asks for a product that is one of the two floats around the quotient, which this
// one may not be; so the quotient may be wrong where the true one is within 2^-23 of the distance of two floats from
// the middle between them. For all 2^23 mantissas of a divisor, and the dividends around each place where a code
// begins, it has the code of the division; dynamic8_codes_test.cpp tries a part of them.) Takes 3 instructions instead
// of 10 and a branch. Both are brought to where nothing underflows, by a power of 2; a quotient below 2^-23 may have
// other bits, and has the code of 0.
struct Divisor {
    float unit;
    float value;
    float reciprocal;

    NOPT_HD explicit Divisor(float divisor)
        : unit(divisor < 0x1p-60f   ? 0x1p96f
               : divisor > 0x1p100f ? 0x1p-64f
                                    : 1.0f),
          value(divisor * unit),
          reciprocal(1.0f / value) {}

    // Of a dividend that is no larger, times `unit`.
    NOPT_HD float quotient(float dividend) const {
        const float near = dividend * reciprocal;
        return fmaf(fmaf(-value, near, dividend), reciprocal, near);
    }
};

}  // namespace nopt
