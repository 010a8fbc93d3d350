// Random numbers and random directions.
#include <math.h>

#include "numerics/philox.h"
#include "support/dimer_model.h"
#include "support/dimer_reference.h"

namespace nopt_test {
namespace {

// The vectors that come with the authors' own implementation.
TEST(Philox, KnownAnswers) {
    struct Known {
        nopt::Philox counter;
        uint32_t key[2];
        nopt::Philox expected;
    };
    const Known known[] = {
        {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
         {0xffffffff, 0xffffffff},
         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         {0xa4093822, 0x299f31d0},
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    for (const Known& one : known) {
        const nopt::Philox got = nopt::philox(one.counter, one.key[0], one.key[1]);
        for (int i = 0; i < 4; ++i) {
            EXPECT_EQ(one.expected.word[i], got.word[i]) << i;
        }
    }
}

std::vector<float> random_direction(const std::vector<int64_t>& counts, uint64_t seed, int64_t first_element) {
    DimerModel model("sgd", counts);
    NOPT_EXPECT_OK(nopt_dimer_init_direction(model.dimer, seed, first_element, nullptr));
    EXPECT_TRUE(model.intact());
    return model.values(NOPT_ROLE_DIRECTION);
}

TEST(Dimer, RandomDirectionsAreIsotropic) {
    constexpr int kCount = 200000;
    const Vector x = to_double(random_direction({kCount}, 3, 0));
    double sum = 0.0, squares = 0.0, cubes = 0.0, neighbours = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_NE(0.0, x[i]);
        ASSERT_LE(fabs(x[i]), 1.0);
        sum += x[i];
        squares += x[i] * x[i];
        cubes += x[i] * x[i] * x[i];
        neighbours += i == 0 ? 0.0 : x[i] * x[i - 1];
    }
    // (u1 + u2 + u3 + u4 - 2) / 2 of uniform numbers: the variance is 1/12, that of the square and of x^3 less than
    // 1/50. Five standard deviations of the mean of so many, and a wrong seed would be one in a million.
    const double five = 5.0 / sqrt(kCount);
    EXPECT_NEAR(0.0, sum / kCount, five * sqrt(1.0 / 12.0));
    EXPECT_NEAR(1.0 / 12.0, squares / kCount, five * sqrt(1.0 / 50.0));
    EXPECT_NEAR(0.0, cubes / kCount, five * sqrt(1.0 / 50.0));
    EXPECT_NEAR(0.0, neighbours / kCount, five / 12.0);
}

TEST(Dimer, RandomDirectionsAreAFunctionOfSeedAndElement) {
    const std::vector<float> all = random_direction({40000}, 3, 0);
    // However the elements are cut into tensors and ranks.
    EXPECT_TRUE(same_bits(all, random_direction({1, 0, 16383, 20000, 3616}, 3, 0)));
    EXPECT_TRUE(
        same_bits(std::vector<float>(all.begin() + 12345, all.end()), random_direction({40000 - 12345}, 3, 12345)));
    // Every bit of the seed and of the element's number counts.
    const auto same_share = [&](const std::vector<float>& other) {
        int same = 0;
        for (size_t i = 0; i < other.size(); ++i) {
            same += all[i] == other[i] ? 1 : 0;
        }
        return same / static_cast<double>(other.size());
    };
    EXPECT_LT(same_share(random_direction({40000}, 4, 0)), 1e-3);
    EXPECT_LT(same_share(random_direction({40000}, 3 + (uint64_t{1} << 32), 0)), 1e-3);
    EXPECT_LT(same_share(random_direction({40000}, 3 + (uint64_t{1} << 63), 0)), 1e-3);
    EXPECT_LT(same_share(random_direction({40000}, 3, int64_t{1} << 32)), 1e-3);
    // Past 2^32 elements the count goes on.
    const int64_t edge = (int64_t{1} << 32) - 500;
    const std::vector<float> across = random_direction({1000}, 3, edge);
    EXPECT_TRUE(
        same_bits(std::vector<float>(across.begin() + 500, across.end()), random_direction({500}, 3, edge + 500)));
}

}  // namespace
}  // namespace nopt_test
