// Several threads at once: distinct sets work side by side, one set refuses the second caller.
#include <atomic>
#include <thread>

#include "support/model.h"

namespace nopt_test {
namespace {

// Eight threads step their own models while the pool serves one of them at a time; all get a lone run's bits.
TEST(Threads, DistinctSetsSideBySide) {
    int32_t threads = 0;
    NOPT_ASSERT_OK(nopt_cpu_get_num_threads(&threads));
    NOPT_ASSERT_OK(nopt_cpu_set_num_threads(3));
    const std::vector<int64_t> counts = {70000, 1, 0, 33333};
    const auto run = [&](std::vector<float>& result) {
        Model model("dualadam", counts);
        for (int step = 0; step < 20; ++step) {
            model.new_gradients();
            EXPECT_EQ(NOPT_OK, model.step(defaults("dualadam"))) << nopt_last_error_message();
        }
        result = model.all_values();
    };
    std::vector<float> expected;
    run(expected);
    std::vector<std::vector<float>> results(8);
    std::vector<std::thread> callers;
    for (std::vector<float>& result : results) {
        callers.emplace_back([&run, &result] { run(result); });
    }
    for (std::thread& caller : callers) {
        caller.join();
    }
    for (const std::vector<float>& result : results) {
        EXPECT_TRUE(same_bits(expected, result));
    }
    NOPT_ASSERT_OK(nopt_cpu_set_num_threads(threads));
}

// Two threads on one optimizer: each call either runs alone or is refused, and the count tells how many ran.
TEST(Threads, OneSetRefusesTheSecondCaller) {
    Model model("adam", {2000000});
    model.new_gradients();
    const nopt_hyperparams h = defaults("adam");
    std::atomic<int> done{0};
    std::atomic<int> busy{0};
    std::atomic<int> other{0};
    std::atomic<bool> stop{false};
    const auto call = [&] {
        while (!stop.load()) {
            switch (nopt_optimizer_step(model.optimizer, &h, nullptr)) {
                case NOPT_OK:
                    ++done;
                    break;
                case NOPT_ERROR_BUSY:
                    ++busy;
                    break;
                default:
                    ++other;
            }
        }
    };
    std::thread a(call);
    std::thread b(call);
    // Until both kinds were seen; the test's time limit is ctest's.
    while (done.load() < 10 || busy.load() < 1) {
        std::this_thread::yield();
    }
    stop = true;
    a.join();
    b.join();
    EXPECT_EQ(0, other.load());
    EXPECT_EQ(done.load(), model.state().step);
}

TEST(Threads, ErrorTextsArePerThread) {
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_cpu_set_num_threads(-5));
    std::thread([] { EXPECT_STREQ("", nopt_last_error_message()); }).join();
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "-5"));
}

}  // namespace
}  // namespace nopt_test
