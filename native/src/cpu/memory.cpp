#include "cpu/memory.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <atomic>

#if defined(_WIN32)
#include <malloc.h>
#else
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "backend/error.h"
#include "cpu/thread_pool.h"
#include "numerics/sums.h"

namespace nopt {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest register

// Large allocations all begin at the same place of a page, and processors tell lines apart by part of their
// address: where the streams of a step go through the same sets of the first cache they may push each other out.
// (Zen 3, four buffers of 64 MiB, one after another: a scalar loop took up to 334 ms, and 47 at different lines;
// Adam 21 and 13.)
size_t next_offset(int64_t bytes) {
    static std::atomic<uint32_t> count{0};
    constexpr uint32_t kOffsets = 12;      // of five lines each: within a page
    constexpr int64_t kLarge = 64 * 1024;  // bytes; small ones keep theirs
    return bytes < kLarge ? kAlignment
                          : kAlignment * (1 + 5 * (count.fetch_add(1, std::memory_order_relaxed) % kOffsets));
}

// Streams go through a page of 4 KiB in no time, and each new one has to be looked up. Where the system gives large
// pages to those who ask, ask; elsewhere nothing happens. (Same machine, a virtual one, 16,777,216 elements: SGD
// took 5.4 ms and 6.6 with small pages, Adam 12.1 and 15.6, AMSGrad 15.2 and 16.0; medians of three runs.)
void ask_for_large_pages([[maybe_unused]] void* allocation, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr size_t kLarge = size_t{4} << 20;  // holds one of 2 MiB, wherever it begins
    if (bytes >= kLarge) {
        const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
        const uintptr_t begin = (reinterpret_cast<uintptr_t>(allocation) + page - 1) / page * page;
        const uintptr_t end = (reinterpret_cast<uintptr_t>(allocation) + bytes) / page * page;
        madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
    }
#endif
}

template <class Element>
struct FillJob {
    Element* destination;
    int64_t count;
    Element value;

    static void run_task(void* context, int64_t task) {
        const FillJob& job = *static_cast<const FillJob*>(context);
        const int64_t begin = task * kChunkElements;
        std::fill_n(job.destination + begin, std::min(kChunkElements, job.count - begin), job.value);
    }
};

template <class Element>
void fill_elements(Element* destination, int64_t count, uint32_t bits) {
    FillJob<Element> job = {destination, count, static_cast<Element>(bits)};
    parallel_for((count + kChunkElements - 1) / kChunkElements, &FillJob<Element>::run_task, &job);
}

}  // namespace

// The room before the memory has the address of the allocation.
void* cpu_alloc(int64_t bytes) {
    const size_t offset = next_offset(bytes);
    const size_t size = (static_cast<size_t>(bytes) + offset + kAlignment - 1) / kAlignment * kAlignment;
#if defined(_WIN32)
    void* const allocation = _aligned_malloc(size, kAlignment);
#else
    void* const allocation = aligned_alloc(kAlignment, size);
#endif
    if (allocation == nullptr) {
        throw Error(NOPT_ERROR_OUT_OF_MEMORY, "cannot allocate %lld bytes of host memory",
                    static_cast<long long>(bytes));
    }
    ask_for_large_pages(allocation, size);
    char* const memory = static_cast<char*>(allocation) + offset;
    memcpy(memory - sizeof allocation, &allocation, sizeof allocation);
    return memory;
}

void cpu_free(void* memory) {
    void* allocation;
    memcpy(&allocation, static_cast<char*>(memory) - sizeof allocation, sizeof allocation);
#if defined(_WIN32)
    _aligned_free(allocation);
#else
    ::free(allocation);
#endif
}

// On all threads: memory that nobody has touched comes from the node of the processor that touches it, and in steps the
// threads will have like shares of it.
void cpu_fill(void* destination, int64_t count, int bytes, uint32_t bits) {
    switch (bytes) {
        case 1:
            return fill_elements(static_cast<uint8_t*>(destination), count, bits);
        case 2:
            return fill_elements(static_cast<uint16_t*>(destination), count, bits);
        default:
            return fill_elements(static_cast<uint32_t*>(destination), count, bits);
    }
}

}  // namespace nopt
