// The functions of numerics/functions.h beside those of the C library.
#include "numerics/functions.h"

#include <gtest/gtest.h>
#include <math.h>

#include <limits>
#include <random>

namespace nopt {
namespace {

constexpr double kUlp = std::numeric_limits<double>::epsilon();

TEST(Functions, LogarithmIsRightToAFewUlps) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> exponent(-300.0, 300.0);
    for (int i = 0; i < 10000; ++i) {
        const double x = pow(10.0, exponent(random));
        EXPECT_NEAR(portable_log(x), log(x), 2.0 * kUlp * fabs(log(x))) << x;
    }
    // Near 1, where it is small.
    std::uniform_real_distribution<double> near(-1e-3, 1e-3);
    for (int i = 0; i < 10000; ++i) {
        const double x = 1.0 + near(random);
        EXPECT_NEAR(portable_log(x), log(x), 4.0 * kUlp * fabs(log(x))) << x;
    }
    EXPECT_EQ(portable_log(1.0), 0.0);
    EXPECT_EQ(portable_log(0.0), -INFINITY);
}

TEST(Functions, ExponentialIsRightToAFewUlps) {
    std::mt19937_64 random(2);
    std::uniform_real_distribution<double> exponent(-700.0, 700.0);
    for (int i = 0; i < 10000; ++i) {
        const double x = exponent(random);
        EXPECT_NEAR(portable_exp(x), exp(x), 3.0 * kUlp * exp(x)) << x;
    }
    EXPECT_EQ(portable_exp(0.0), 1.0);
    EXPECT_EQ(portable_exp(-INFINITY), 0.0);
    EXPECT_EQ(portable_exp(-1000.0), 0.0);
    EXPECT_EQ(portable_exp(1e20), INFINITY);
}

TEST(Functions, PowerIsRightToTheUlpsOfTheExponent) {
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> base(0.0, 1e6);
    std::uniform_real_distribution<double> exponent(0.0, 3.0);
    for (int i = 0; i < 10000; ++i) {
        const double x = base(random);
        const double y = exponent(random);
        const double expected = pow(x, y);
        EXPECT_NEAR(portable_pow(x, y), expected, 4.0 * kUlp * (1.0 + fabs(y * log(x))) * expected) << x << "^" << y;
    }
    EXPECT_EQ(portable_pow(0.0, 0.25), 0.0);
    EXPECT_EQ(portable_pow(0.0, 0.0), 1.0);
    EXPECT_EQ(portable_pow(5.0, 0.0), 1.0);
    EXPECT_EQ(portable_pow(1.0, 1e300), 1.0);
}

// Bits that every machine has, whatever its C library: written down on x86-64.
TEST(Functions, BitsAreTheSameEverywhere) {
    EXPECT_EQ(portable_log(3.0), 0x1.193ea7aad030ap+0);
    EXPECT_EQ(portable_exp(-0.163287978), 0x1.b2dd8d64ee6abp-1);
    EXPECT_EQ(portable_pow(7.0, 0.25), 0x1.a0675250ee9f2p+0);
}

}  // namespace
}  // namespace nopt
