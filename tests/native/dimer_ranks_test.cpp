// The dimer of a model that is spread over ranks, and the order of its sums.
#include <memory>
#include <numeric>
#include <utility>

#include "support/dimer_model.h"
#include "support/dimer_reference.h"

namespace nopt_test {
namespace {

// A gradient that every rank computes for its own elements.
std::vector<float> rank_gradient(int64_t first_element, int64_t count, uint64_t salt) {
    std::vector<float> g;
    for (int64_t i = first_element; i < first_element + count; ++i) {
        g.push_back(Random(static_cast<uint64_t>(i) * 64 + salt).value());
    }
    return g;
}

// Some ranks, each with its part of the elements, beside one model that has them all.
class Ranks {
public:
    Ranks(const std::vector<int64_t>& whole_counts, const std::vector<int64_t>& part_counts, nopt_dimer_scope scope)
        : whole("adam", whole_counts, scope), part_counts_(part_counts) {
        NOPT_EXPECT_OK(nopt_dimer_init_direction(whole.dimer, 42, 0, nullptr));
        NOPT_EXPECT_OK(nopt_dimer_normalize_direction(whole.dimer, nullptr));
        int64_t first = 0;
        const std::vector<float> param = whole.values(NOPT_ROLE_PARAM);
        for (const int64_t count : part_counts_) {
            parts.push_back(std::make_unique<DimerModel>("adam", std::vector<int64_t>{count}, scope));
            std::copy_n(param.begin() + first, count, parts.back()->buffer(NOPT_ROLE_PARAM).tensor(0));
            NOPT_EXPECT_OK(nopt_dimer_init_direction(parts.back()->dimer, 42, first, nullptr));
            first += count;
        }
        add_up(NOPT_DIMER_PASS_NORMALIZE);
        for (const auto& part : parts) {
            NOPT_EXPECT_OK(nopt_dimer_normalize_direction(part->dimer, nullptr));
        }
    }

    void new_gradients() {
        whole.set_values(
            NOPT_ROLE_GRAD,
            rank_gradient(0, std::accumulate(part_counts_.begin(), part_counts_.end(), int64_t{0}), salt_));
        int64_t first = 0;
        for (size_t i = 0; i < parts.size(); ++i) {
            parts[i]->set_values(NOPT_ROLE_GRAD, rank_gradient(first, part_counts_[i], salt_));
            first += part_counts_[i];
        }
        ++salt_;
    }

    // What an engine's all-reduce does: neighbours first, as the sums themselves are.
    void add_up(nopt_dimer_pass pass) {
        std::vector<std::vector<double>> all;
        for (const auto& part : parts) {
            NOPT_EXPECT_OK(nopt_dimer_sum(part->dimer, pass, nullptr));
            double* sums = nullptr;
            int64_t count = 0;
            NOPT_EXPECT_OK(nopt_dimer_get_sums(part->dimer, &sums, &count));
            all.emplace_back(sums, sums + count);
        }
        for (size_t width = 1; width < all.size(); width *= 2) {
            for (size_t i = 0; i + width < all.size(); i += 2 * width) {
                all[i] = combined(1.0, all[i], 1.0, all[i + width]);
            }
        }
        for (const auto& part : parts) {
            double* sums = nullptr;
            int64_t count = 0;
            NOPT_EXPECT_OK(nopt_dimer_get_sums(part->dimer, &sums, &count));
            std::copy_n(all[0].begin(), count, sums);
        }
    }

    void set_grad_options(const nopt_grad_options& o) {
        each([&](DimerModel& model) { return nopt_optimizer_set_grad_options(model.optimizer, &o); });
    }

    void each(const std::function<nopt_status(DimerModel&)>& call) {
        NOPT_EXPECT_OK(call(whole));
        for (const auto& part : parts) {
            NOPT_EXPECT_OK(call(*part));
        }
    }

    void expect_equal() {
        for (const nopt_role role : whole.kept()) {
            std::vector<float> got;
            for (const auto& part : parts) {
                const std::vector<float> values = part->values(role);
                got.insert(got.end(), values.begin(), values.end());
            }
            EXPECT_TRUE(same_bits(whole.values(role), got)) << role;
        }
        for (const auto& part : parts) {
            EXPECT_TRUE(same_bits(whole.statuses(), part->statuses()));
            const nopt_grad_status expected = status_of(whole.optimizer);
            const nopt_grad_status status = status_of(part->optimizer);
            EXPECT_EQ(0, memcmp(&expected, &status, sizeof status)) << expected.norm << " " << status.norm;
            EXPECT_TRUE(part->intact());
        }
    }

    DimerModel whole;
    std::vector<std::unique_ptr<DimerModel>> parts;

private:
    std::vector<int64_t> part_counts_;
    uint64_t salt_ = 1;
};

TEST(DimerRanks, PartsHaveTheBitsOfTheWhole) {
    struct Split {
        std::vector<int64_t> whole;
        std::vector<int64_t> parts;
        nopt_dimer_scope scope;
    };
    const Split splits[] = {{{65536, 65536}, {65536, 65536}, NOPT_DIMER_SCOPE_GLOBAL},
                            {{131072}, {65536, 65536}, NOPT_DIMER_SCOPE_GLOBAL},
                            {{131072}, {65536, 65536}, NOPT_DIMER_SCOPE_PER_TENSOR},
                            // Tensors across ranks, with a last one that is no whole subtree.
                            {{32768, 65536, 5000}, {32768, 32768, 32768, 5000}, NOPT_DIMER_SCOPE_GLOBAL}};
    for (const Split& split : splits) {
        for (const nopt_dimer_angle angle : kAngles) {
            SCOPED_TRACE(std::to_string(split.whole.size()) + " tensors, " + std::to_string(split.parts.size()) +
                         " ranks, scope " + std::to_string(split.scope) + " angle " + std::to_string(angle));
            nopt_dimer_options o = dimer_defaults();
            o.angle = angle;
            o.rotation_rate = 1.0;
            const nopt_hyperparams h = defaults("adam");
            Ranks ranks(split.whole, split.parts, split.scope);
            ranks.expect_equal();
            ranks.set_grad_options(grad_options(2.0, 0.1, 1.0 / 3.0, true));
            for (int step = 0; step < 5; ++step) {
                if (step == 4) {
                    EXPECT_LT(status_of(ranks.whole.optimizer).clip_coefficient, 1.0);
                    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(ranks.whole.optimizer, nullptr));
                    for (const auto& part : ranks.parts) {
                        NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(part->optimizer, nullptr));
                    }
                }
                ranks.new_gradients();
                if (step % 2 == 0) {
                    ranks.each([&](DimerModel& model) { return model.displace(o); });
                    ranks.new_gradients();
                    // Each kind of rotation: one for a rate, those of the plane and of the extrapolated gradient.
                    for (int i = 0; i < step + (angle != NOPT_DIMER_ANGLE_FIXED_RATE); ++i) {
                        ranks.add_up(NOPT_DIMER_PASS_STEP);
                        ranks.each([&](DimerModel& model) { return model.rotate(o, h); });
                        ranks.new_gradients();
                    }
                }
                ranks.add_up(NOPT_DIMER_PASS_STEP);
                ranks.each([&](DimerModel& model) { return model.dimer_step(o, h); });
                ranks.expect_equal();
            }
            EXPECT_GT(ranks.whole.status().angle, 0.01);
        }
    }
}

// Sums that were asked for are used by the coming pass, and by no other.
TEST(DimerRanks, SumsServeTheNextPassOnly) {
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    const auto expect_no_effect = [&](nopt_dimer_pass pass, const std::function<void(DimerModel&)>& between) {
        DimerModel model("adam", {700, 3});
        DimerModel twin("adam", {700, 3});
        for (DimerModel* one : {&model, &twin}) {
            one->new_gradients();
            if (one == &model) {
                NOPT_ASSERT_OK(nopt_dimer_sum(model.dimer, pass, nullptr));
                double* sums = nullptr;
                int64_t count = 0;
                NOPT_ASSERT_OK(nopt_dimer_get_sums(model.dimer, &sums, &count));
                std::fill_n(sums, count, 1e3);  // would be seen
            }
            between(*one);
            one->new_gradients();
            NOPT_ASSERT_OK(one->dimer_step(o, h));
        }
        EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
        EXPECT_TRUE(same_bits(twin.statuses(), model.statuses()));
    };
    expect_no_effect(NOPT_DIMER_PASS_STEP, [&](DimerModel& model) { NOPT_ASSERT_OK(model.displace(o)); });
    expect_no_effect(NOPT_DIMER_PASS_STEP,
                     [&](DimerModel& model) { NOPT_ASSERT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr)); });
    expect_no_effect(NOPT_DIMER_PASS_NORMALIZE, [&](DimerModel& model) {
        NOPT_ASSERT_OK(nopt_dimer_init_direction(model.dimer, 8, 0, nullptr));
        NOPT_ASSERT_OK(nopt_dimer_normalize_direction(model.dimer, nullptr));
    });
}

TEST(DimerRanks, SumsOfAnUpdateGoWithIt) {
    const nopt_dimer_options o = dimer_defaults();
    const nopt_hyperparams h = defaults("adam");
    DimerModel model("adam", {700, 3});
    DimerModel twin("adam", {700, 3});
    for (DimerModel* one : {&model, &twin}) {
        one->new_gradients();
        NOPT_ASSERT_OK(one->displace(o));
        one->new_gradients();
        if (one == &model) {
            NOPT_ASSERT_OK(nopt_dimer_sum(model.dimer, NOPT_DIMER_PASS_STEP, nullptr));
        }
        NOPT_ASSERT_OK(one->restore());
        NOPT_ASSERT_OK(one->dimer_step(o, h));
    }
    EXPECT_TRUE(same_bits(twin.all_values(), model.all_values()));
    EXPECT_TRUE(same_bits(twin.statuses(), model.statuses()));
}

// Neighbours first, whatever is missing at the end left out.
double tree(std::vector<double> values) {
    if (values.empty()) {
        return 0.0;
    }
    for (size_t width = 1; width < values.size(); width *= 2) {
        for (size_t i = 0; i + width < values.size(); i += 2 * width) {
            values[i] += values[i + width];
        }
    }
    return values[0];
}

// The order of numerics/sums.h, written here a second time: lanes, leaves, chunks; of the tensors given.
double ordered_dot(const std::vector<Vector>& a, const std::vector<Vector>& b) {
    std::vector<double> chunks;
    for (size_t t = 0; t < a.size(); ++t) {
        for (size_t chunk = 0; chunk < a[t].size(); chunk += 16384) {
            const size_t chunk_end = std::min(a[t].size(), chunk + 16384);
            std::vector<double> leaves;
            for (size_t leaf = chunk; leaf < chunk_end; leaf += 512) {
                const size_t leaf_end = std::min(chunk_end, leaf + 512);
                std::vector<double> lanes(32, 0.0);
                for (size_t i = leaf; i < leaf_end; ++i) {
                    lanes[(i - leaf) % 32] += a[t][i] * b[t][i];
                }
                leaves.push_back(tree(lanes));
            }
            chunks.push_back(tree(leaves));
        }
    }
    return tree(chunks);
}

// Bit for bit: other backends and other ranks rely on it.
TEST(DimerRanks, SumsAreAddedUpInTheirOrder) {
    const std::vector<int64_t> counts = {1, 31, 0, 32, 33, 511, 512, 513, 16384, 16385, 70000, 5};
    for (int run = 0; run < 8; ++run) {
        const nopt_dimer_scope scope = kScopes[run % 2];
        DimerModel model("sgd", counts, scope);
        nopt_dimer_options o = dimer_defaults();
        const bool conjugate = run >= 4;
        o.angle = kBestAngles[conjugate];
        const nopt_hyperparams h = defaults("sgd");
        const bool with_norm = run % 4 >= 2;
        const nopt_grad_options options = grad_options(1.0, 0.0, 0.0, false);
        if (with_norm) {
            NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &options));
        }
        const auto tensors_of_role = [&](nopt_role role) {
            std::vector<Vector> result;
            for (size_t t = 0; t < counts.size(); ++t) {
                const float* values = model.buffer(role).tensor(t);
                result.emplace_back(values, values + counts[t]);
            }
            return result;
        };
        const auto difference = [&] {  // rounded to float
            std::vector<Vector> d = tensors_of_role(NOPT_ROLE_GRAD);
            const std::vector<Vector> g = tensors_of_role(NOPT_ROLE_GRAD_BACKUP);
            for (size_t t = 0; t < d.size(); ++t) {
                for (size_t i = 0; i < d[t].size(); ++i) {
                    d[t][i] = static_cast<double>(static_cast<float>(d[t][i]) - static_cast<float>(g[t][i]));
                }
            }
            return d;
        };
        using Pairs = std::vector<std::pair<std::vector<Vector>, std::vector<Vector>>>;
        const auto expect_sums = [&](nopt_dimer_pass pass, const Pairs& pairs, const Pairs& norm) {
            Pairs all = pairs;
            all.insert(all.end(), norm.begin(), with_norm ? norm.end() : norm.begin());
            NOPT_ASSERT_OK(nopt_dimer_sum(model.dimer, pass, nullptr));
            double* sums = nullptr;
            int64_t count = 0;
            NOPT_ASSERT_OK(nopt_dimer_get_sums(model.dimer, &sums, &count));
            ASSERT_EQ(0, count % model.scope_count());
            const int64_t each = count / model.scope_count();
            for (int64_t s = 0; s < model.scope_count(); ++s) {
                for (size_t k = 0; k < static_cast<size_t>(each); ++k) {
                    const size_t t = static_cast<size_t>(s);
                    const double expected = k >= all.size() ? 0.0
                                            : scope == NOPT_DIMER_SCOPE_GLOBAL
                                                ? ordered_dot(all[k].first, all[k].second)
                                                : ordered_dot({all[k].first[t]}, {all[k].second[t]});
                    EXPECT_EQ(expected, sums[s * each + static_cast<int64_t>(k)]) << "scope " << s << ", sum " << k;
                }
            }
        };
        model.new_gradients();
        const std::vector<Vector> n = tensors_of_role(NOPT_ROLE_DIRECTION);
        const std::vector<Vector> g = tensors_of_role(NOPT_ROLE_GRAD);
        expect_sums(NOPT_DIMER_PASS_NORMALIZE, {{n, n}}, {});
        expect_sums(NOPT_DIMER_PASS_STEP, {{g, n}}, {{g, g}});
        NOPT_ASSERT_OK(model.displace(o));
        model.new_gradients();
        const std::vector<Vector> d = difference();
        const std::vector<Vector> last = tensors_of_role(NOPT_ROLE_ROTATION_DIRECTION);
        const Pairs of_plane = {{d, n}, {d, d}, {n, n}, {g, n}, {n, last}, {last, last}, {d, last}};
        const Pairs of_rotation = {{d, n}, {d, d}, {n, n}, {g, n}, {g, d}};
        expect_sums(NOPT_DIMER_PASS_STEP, conjugate ? of_plane : of_rotation, {{g, g}});
        NOPT_ASSERT_OK(model.rotate(o, h));
        model.new_gradients();
        const std::vector<Vector> d2 = difference();
        const std::vector<Vector> t = tensors_of_role(NOPT_ROLE_ROTATION_DIRECTION);
        Pairs of_turn = {{d2, n}, {d2, d2}, {d2, t}, {g, t}, {t, t}, {n, t}};
        if (conjugate) {
            const std::vector<Vector> change = tensors_of_role(NOPT_ROLE_GRAD_CHANGE);
            EXPECT_EQ(d, change);
            of_turn.push_back({d2, change});
            of_turn.push_back({change, t});
        }
        expect_sums(NOPT_DIMER_PASS_STEP, of_turn, {});
    }
}

// ... and so are those of the tensors for the norm of all.
TEST(DimerRanks, TheNormOfAllScopesIsATree) {
    std::vector<int64_t> counts;
    for (int64_t t = 0; t < 37; ++t) {
        counts.push_back(t * t % 23);
    }
    DimerModel model("sgd", counts, NOPT_DIMER_SCOPE_PER_TENSOR);
    const nopt_grad_options options = grad_options(1.0, 0.0, 0.0, false);
    NOPT_ASSERT_OK(nopt_optimizer_set_grad_options(model.optimizer, &options));
    model.new_gradients();
    std::vector<double> squares;
    for (size_t t = 0; t < counts.size(); ++t) {
        const float* const g = model.buffer(NOPT_ROLE_GRAD).tensor(t);
        const Vector values(g, g + counts[t]);
        squares.push_back(ordered_dot({values}, {values}));
    }
    NOPT_ASSERT_OK(model.dimer_step(dimer_defaults(), defaults("sgd")));
    EXPECT_EQ(sqrt(tree(squares)), status_of(model.optimizer).norm);
}

}  // namespace
}  // namespace nopt_test
