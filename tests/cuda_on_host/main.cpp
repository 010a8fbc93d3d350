// Runs the native tests on the CUDA backend.
#include <gtest/gtest.h>

#include "support/model.h"

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    nopt_test::test_backend = NOPT_BACKEND_CUDA;
    return RUN_ALL_TESTS();
}
