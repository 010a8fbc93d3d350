// Runs tests on the CUDA backend.
#include <gtest/gtest.h>
#include <stdio.h>

#include "support/model.h"

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    int32_t devices = 0;
    if (nopt_device_count(NOPT_BACKEND_CUDA, &devices) != NOPT_OK) {
        printf("SKIPPED: %s\n", nopt_last_error_message());
        return 0;
    }
    nopt_test::test_backend = NOPT_BACKEND_CUDA;
    return RUN_ALL_TESTS();
}
