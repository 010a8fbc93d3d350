// Says at the end of the tests what was run of the PTX, and fails if something was reported; with
// NATIVEOPT_PTX_ALL_KERNELS=1 also if a kernel did not run.
#include <cxxabi.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>

#include "library.h"
#include "report.h"

namespace {

std::string readable(const std::string& name) {
    const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, nullptr),
                                                      free);
    return text == nullptr ? name : text.get();
}

class WhatRan : public testing::Environment {
public:
    void TearDown() override {
        const ptx::Summary ran = ptx::Library::instance().summary();
        uint64_t reports = 0;
        for (const auto& place : ptx::reports()) {
            reports += place.second;
        }
        printf(
            "PTX: %zu of %zu kernels ran; %llu launches, %llu instructions of threads, %llu reports about %zu places\n",
            ran.kernels - ran.kernels_not_run.size(), ran.kernels, static_cast<unsigned long long>(ran.launches),
            static_cast<unsigned long long>(ran.instructions), static_cast<unsigned long long>(reports),
            ptx::reports().size());
        EXPECT_EQ(0u, reports) << "see the lines that begin with PTX";
        if (getenv("NATIVEOPT_PTX_ALL_KERNELS") != nullptr) {
            for (const std::string& name : ran.kernels_not_run) {
                ADD_FAILURE() << "did not run: " << readable(name);
            }
        }
    }
};

const testing::Environment* const kWhatRan = testing::AddGlobalTestEnvironment(new WhatRan);

}  // namespace
