// Memory, copies, fills and streams of the CPU backend, and the checks before them.
#include <stdio.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <fstream>
#include <limits>
#include <string>

#include "support/model.h"

namespace nopt_test {
namespace {

TEST(Memory, AllocFillCopyFree) {
    void* memory = nullptr;
    NOPT_ASSERT_OK(nopt_memory_alloc(NOPT_BACKEND_CPU, 0, 100 * 4, &memory));
    ASSERT_NE(nullptr, memory);
    EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(memory) % 64);
    NOPT_ASSERT_OK(nopt_memory_fill(NOPT_BACKEND_CPU, 0, memory, 100, NOPT_DTYPE_FLOAT32, 1.5, nullptr));
    float copy[100] = {};
    NOPT_ASSERT_OK(nopt_memory_copy(NOPT_BACKEND_CPU, 0, copy, memory, sizeof copy, nullptr));
    for (const float value : copy) {
        EXPECT_EQ(1.5f, value);
    }
    NOPT_ASSERT_OK(nopt_memory_free(NOPT_BACKEND_CPU, 0, memory));
    NOPT_ASSERT_OK(nopt_memory_free(NOPT_BACKEND_CPU, 0, nullptr));
}

// Each type's own bits, as many as there are elements, and nothing behind them; over more than one thread's share, too.
TEST(Memory, FillsEveryType) {
    struct Case {
        nopt_dtype dtype;
        double value;
        uint32_t bits;
        size_t bytes;  // of what is repeated
    };
    const Case cases[] = {
        {NOPT_DTYPE_FLOAT32, 0.1, 0x3dcccccdu, 4},
        {NOPT_DTYPE_FLOAT32, -0.0, 0x80000000u, 4},
        {NOPT_DTYPE_BFLOAT16, 0.1, 0x3dcdu, 2},
        {NOPT_DTYPE_BFLOAT16, -std::numeric_limits<double>::infinity(), 0xff80u, 2},
        {NOPT_DTYPE_FLOAT16, 0.1, 0x2e66u, 2},
        {NOPT_DTYPE_FLOAT16, std::numeric_limits<double>::infinity(), 0x7c00u, 2},
        {NOPT_DTYPE_DYNAMIC8, 0.0, 0u, 1},
    };
    for (const Case& c : cases) {
        for (const int64_t count : {1, 3, 100, 50001}) {
            int64_t bytes = 0;
            NOPT_ASSERT_OK(nopt_dtype_get_bytes(c.dtype, count, &bytes));
            const size_t size = static_cast<size_t>(bytes);
            std::vector<unsigned char> expected(size + 8, 0xa5);
            std::vector<uint32_t> memory(size / 4 + 3, 0xa5a5a5a5u);
            for (size_t i = 0; i < size; ++i) {
                expected[i] = static_cast<unsigned char>(c.bits >> 8 * (i % c.bytes));
            }
            NOPT_ASSERT_OK(nopt_memory_fill(NOPT_BACKEND_CPU, 0, memory.data(), count, c.dtype, c.value, nullptr));
            EXPECT_EQ(0, memcmp(expected.data(), memory.data(), expected.size()))
                << c.dtype << " " << c.value << " " << count;
        }
    }
}

// Large buffers are aligned, but not alike: streams at the same place of a page can push each other out of a cache.
TEST(Memory, LargeBuffersBeginAtDifferentLines) {
    constexpr int64_t kBytes = 1 << 20;
    void* buffers[4] = {};
    for (void*& buffer : buffers) {
        NOPT_ASSERT_OK(nopt_memory_alloc(NOPT_BACKEND_CPU, 0, kBytes, &buffer));
        ASSERT_EQ(0u, reinterpret_cast<uintptr_t>(buffer) % 64);
        memset(buffer, 1, kBytes);
    }
    for (int i = 0; i < 4; ++i) {
        for (int k = 0; k < i; ++k) {
            EXPECT_NE(reinterpret_cast<uintptr_t>(buffers[i]) % 4096, reinterpret_cast<uintptr_t>(buffers[k]) % 4096);
        }
        NOPT_EXPECT_OK(nopt_memory_free(NOPT_BACKEND_CPU, 0, buffers[i]));
    }
}

#if defined(__linux__)
// The flags of the mapping that an address belongs to, as the kernel tells them; empty if it does not.
std::string mapping_flags(const void* address) {
    std::ifstream maps("/proc/self/smaps");
    bool is_inside = false;
    for (std::string line; std::getline(maps, line);) {
        unsigned long long begin, end;
        if (sscanf(line.c_str(), "%llx-%llx ", &begin, &end) == 2) {
            const auto value = static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(address));
            is_inside = begin <= value && value < end;
        } else if (is_inside && line.compare(0, 8, "VmFlags:") == 0) {
            return line + " ";
        }
    }
    return {};
}

TEST(Memory, LargeBuffersAskForLargePages) {
    constexpr size_t kBytes = 16 << 20;
    void* own = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(MAP_FAILED, own);
    madvise(own, kBytes, MADV_HUGEPAGE);
    const std::string wanted = mapping_flags(static_cast<char*>(own) + kBytes / 2);
    munmap(own, kBytes);
    if (wanted.find(" hg ") == std::string::npos) {
        GTEST_SKIP() << "this kernel, or the emulator of one, has no transparent huge pages or does not tell of them";
    }
    void* memory = nullptr;
    NOPT_ASSERT_OK(nopt_memory_alloc(NOPT_BACKEND_CPU, 0, kBytes, &memory));
    const std::string flags = mapping_flags(static_cast<char*>(memory) + kBytes / 2);
    NOPT_EXPECT_OK(nopt_memory_free(NOPT_BACKEND_CPU, 0, memory));
    EXPECT_NE(std::string::npos, flags.find(" hg ")) << flags;
}
#endif

TEST(Memory, NothingIsAsOrdinaryAsSomething) {
    int something = 0;
    void* memory = &something;
    NOPT_ASSERT_OK(nopt_memory_alloc(NOPT_BACKEND_CPU, 0, 0, &memory));
    EXPECT_EQ(nullptr, memory);
    NOPT_ASSERT_OK(nopt_memory_copy(NOPT_BACKEND_CPU, 0, nullptr, nullptr, 0, nullptr));
    NOPT_ASSERT_OK(nopt_memory_fill(NOPT_BACKEND_CPU, 0, nullptr, 0, NOPT_DTYPE_FLOAT32, 1.0, nullptr));
}

TEST(Memory, BadArgumentsWriteNothing) {
    float buffer[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const std::vector<float> before(buffer, buffer + 8);
    void* memory = buffer;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_memory_alloc(NOPT_BACKEND_CPU, 0, -1, &memory));
    EXPECT_EQ(static_cast<void*>(buffer), memory);
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_memory_alloc(NOPT_BACKEND_CPU, 0, 4, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_memory_alloc(NOPT_BACKEND_CPU, 3, 4, &memory));
    EXPECT_EQ(NOPT_ERROR_OUT_OF_MEMORY, nopt_memory_alloc(NOPT_BACKEND_CPU, 0, INT64_MAX / 2, &memory));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_memory_copy(NOPT_BACKEND_CPU, 0, nullptr, buffer, 4, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_memory_copy(NOPT_BACKEND_CPU, 0, buffer, nullptr, 4, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_memory_copy(NOPT_BACKEND_CPU, 0, buffer, buffer + 4, -4, nullptr));
    EXPECT_EQ(NOPT_ERROR_OVERLAP, nopt_memory_copy(NOPT_BACKEND_CPU, 0, buffer, buffer + 1, 8, nullptr));
    EXPECT_EQ(NOPT_ERROR_OVERLAP, nopt_memory_copy(NOPT_BACKEND_CPU, 0, buffer + 1, buffer, 8, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_memory_copy(NOPT_BACKEND_CPU, 0, buffer, buffer + 4, 8, buffer));
    EXPECT_NE(nullptr, strstr(nopt_last_error_message(), "stream"));
    char* odd = reinterpret_cast<char*>(buffer) + 1;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
              nopt_memory_fill(NOPT_BACKEND_CPU, 0, odd, 1, NOPT_DTYPE_FLOAT32, 0.0, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
              nopt_memory_fill(NOPT_BACKEND_CPU, 0, odd, 1, NOPT_DTYPE_BFLOAT16, 0.0, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
              nopt_memory_fill(NOPT_BACKEND_CPU, 0, odd + 1, 1, NOPT_DTYPE_DYNAMIC8, 0.0, nullptr));
    EXPECT_EQ(NOPT_ERROR_UNSUPPORTED,
              nopt_memory_fill(NOPT_BACKEND_CPU, 0, buffer, 1, NOPT_DTYPE_DYNAMIC8, 1.0, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
              nopt_memory_fill(NOPT_BACKEND_CPU, 0, buffer, 1, NOPT_DTYPE_FLOAT32, 1e39, nullptr));
    EXPECT_STREQ("value is 1e+39, which is infinite as a float32", nopt_last_error_message());
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
              nopt_memory_fill(NOPT_BACKEND_CPU, 0, buffer, 1, NOPT_DTYPE_FLOAT16, -1e5, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
              nopt_memory_fill(NOPT_BACKEND_CPU, 0, buffer, 1, static_cast<nopt_dtype>(9), 0.0, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT,
              nopt_memory_fill(NOPT_BACKEND_CPU, 0, buffer, -1, NOPT_DTYPE_FLOAT32, 0.0, nullptr));
    EXPECT_TRUE(same_bits(before, std::vector<float>(buffer, buffer + 8)));
    // Neighbours do not overlap.
    NOPT_EXPECT_OK(nopt_memory_copy(NOPT_BACKEND_CPU, 0, buffer, buffer + 4, 16, nullptr));
    EXPECT_EQ(5.0f, buffer[0]);
}

TEST(Memory, TheCpuHasNoStreams) {
    int something = 0;
    void* stream = &something;
    NOPT_ASSERT_OK(nopt_stream_create(NOPT_BACKEND_CPU, 0, &stream));
    EXPECT_EQ(nullptr, stream);
    NOPT_ASSERT_OK(nopt_stream_synchronize(NOPT_BACKEND_CPU, 0, nullptr));
    NOPT_ASSERT_OK(nopt_stream_destroy(NOPT_BACKEND_CPU, 0, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_stream_create(NOPT_BACKEND_CPU, 0, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_stream_synchronize(NOPT_BACKEND_CPU, 0, &something));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_stream_destroy(NOPT_BACKEND_CPU, 0, &something));
}

}  // namespace
}  // namespace nopt_test
