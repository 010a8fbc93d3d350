#include "cpu/thread_pool.h"

#include <errno.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <system_error>
#include <thread>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif defined(__APPLE__)
#include <dispatch/dispatch.h>
#else
#include <semaphore.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

#include "backend/error.h"
#include "cpu/processors.h"

namespace nopt {
namespace {

constexpr int kMaxThreads = 1024;

// How long a worker looks out for the next job before it sleeps: the passes of a step, and small steps in a row, follow
// each other faster than a sleeper wakes. Waking one took the caller 6.5 us, or 16 to 28 if it had slept for 1 ms or
// more (2 cores, Zen 3, a virtual machine). 1000 tensors of 100 took Adam 47 us with sleepers, no less than without
// them, and 33 with this.
constexpr std::chrono::microseconds kLookout{50};
// A sleeper is woken for this number of tasks of a job.
constexpr int64_t kTasksPerWake = 4;

// A semaphore that a sleeping worker waits on: waking one takes no lock.
class Semaphore {
public:
#if defined(_WIN32)
    Semaphore() : handle_(CreateSemaphoreW(nullptr, 0, 0x7fffffff, nullptr)) {}
    void post() { ReleaseSemaphore(handle_, 1, nullptr); }
    void wait() { WaitForSingleObject(handle_, INFINITE); }

private:
    HANDLE handle_;
#elif defined(__APPLE__)
    Semaphore() : handle_(dispatch_semaphore_create(0)) {}
    void post() { dispatch_semaphore_signal(handle_); }
    void wait() { dispatch_semaphore_wait(handle_, DISPATCH_TIME_FOREVER); }

private:
    dispatch_semaphore_t handle_;
#else
    Semaphore() { sem_init(&handle_, 0, 0); }
    void post() { sem_post(&handle_); }
    void wait() {
        while (sem_wait(&handle_) != 0 && errno == EINTR) {
        }
    }

private:
    sem_t handle_;
#endif
};

void relax() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
    __asm__ __volatile__("yield");
#endif
}

struct Worker {
    int index;  // from 1: 0 is the caller
    Semaphore wake;
    std::atomic<bool> sleeps{false};
};

// What one of the threads of a job begins with. The others help it when they have finished their own.
struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
};

int initial_num_threads() {
    const char* text = getenv("NATIVEOPT_NUM_THREADS");
    if (text == nullptr || text[0] == '\0') {
        const int threads = processors().threads();
        return threads < kMaxThreads ? threads : kMaxThreads;
    }
    char* end;
    const long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > kMaxThreads) {
        throw Error(
            NOPT_ERROR_INVALID_ARGUMENT,
            "the environment variable NATIVEOPT_NUM_THREADS is \"%.64s\"; it must be a whole number from 1 to %d", text,
            kMaxThreads);
    }
    return static_cast<int>(value);
}

// One job at a time. A worker joins a job by counting itself into `active_` and then finding `open_` set; the caller
// clears `open_` and waits for `active_` to fall to 0, so a worker that wakes late finds the job closed and the caller
// never waits for it to wake. Each thread has the same share of equal jobs, so that it finds in its own caches what it
// had there.
class ThreadPool {
public:
    void run(int64_t count, void (*body)(void*, int64_t), void* context) {
        const int threads = num_threads();
        const int64_t helpers = count - 1 < threads - 1 ? count - 1 : threads - 1;
        if (helpers <= 0 || busy_.exchange(true, std::memory_order_acquire)) {
            for (int64_t i = 0; i < count; ++i) {
                body(context, i);
            }
            return;
        }
        const int started = start_workers(static_cast<int>(helpers));
        body_ = body;
        context_ = context;
        shares_ = 1 + (started < helpers ? started : static_cast<int>(helpers));
        for (int i = 0; i < shares_; ++i) {
            share_[i].next.store(count * i / shares_, std::memory_order_relaxed);
            share_[i].end = count * (i + 1) / shares_;
        }
        wakes_ = count / kTasksPerWake < shares_ - 1 ? static_cast<int>(count / kTasksPerWake) : shares_ - 1;
        open_.store(true);
        job_.fetch_add(1);
        wake_two(0);
        work(0);
        open_.store(false);
        for (int spins = 0; active_.load() != 0; ++spins) {
            if (spins < 1000) {
                relax();
            } else {
                std::this_thread::yield();
            }
        }
        busy_.store(false, std::memory_order_release);
    }

    int num_threads() {
        int count = num_threads_.load(std::memory_order_relaxed);
        if (count == 0) {
            count = initial_num_threads();
            num_threads_.store(count, std::memory_order_relaxed);
        }
        return count;
    }

    void set_num_threads(int count) {
        if (count < 1 || count > kMaxThreads) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "num_threads is %d; it must be 1 to %d", count, kMaxThreads);
        }
        num_threads_.store(count, std::memory_order_relaxed);
    }

private:
    // Creates workers up to this number, once; fewer where the system refuses a thread. Runs under busy_.
    int start_workers(int wanted) {
        while (worker_count_ < wanted) {
            try {
                auto worker = std::make_unique<Worker>();
                worker->index = worker_count_ + 1;
                std::thread(&ThreadPool::serve, this, worker.get()).detach();
                workers_[worker_count_] = worker.release();
            } catch (const std::system_error&) {
                break;
            } catch (const std::bad_alloc&) {
                break;
            }
            ++worker_count_;
        }
        return worker_count_;
    }

    void serve(Worker* self) {
        for (uint32_t seen = 0;;) {
            wait_for_job(*self, seen);
            active_.fetch_add(1);
            if (open_.load()) {
                wake_two(self->index);
                work(self->index);
            }
            active_.fetch_sub(1);
        }
    }

    void wait_for_job(Worker& self, uint32_t& seen) {
        if (!looked_out_for_job(seen)) {
            self.sleeps.store(true);
            // A caller that saw it asleep posts.
            if (job_.load() == seen || !self.sleeps.exchange(false)) {
                self.wake.wait();
            }
        }
        seen = job_.load();
    }

    bool looked_out_for_job(uint32_t seen) const {
        if (num_threads_.load(std::memory_order_relaxed) > processors_) {
            return job_.load() != seen;  // others need the processor
        }
        const auto end = std::chrono::steady_clock::now() + kLookout;
        do {
            for (int i = 0; i < 16; ++i) {
                if (job_.load(std::memory_order_relaxed) != seen) {
                    return true;
                }
                relax();
            }
        } while (std::chrono::steady_clock::now() < end);
        return false;
    }

    // Those that a thread of the job wakes if they sleep: two, so that waking many takes no longer than their
    // logarithm.
    void wake_two(int index) {
        for (int i = 2 * index + 1; i <= 2 * index + 2 && i <= wakes_; ++i) {
            Worker& worker = *workers_[i - 1];
            if (worker.sleeps.exchange(false)) {
                worker.wake.post();
            }
        }
    }

    void work(int index) {
        for (int i = 0; i < shares_; ++i) {
            Share& share = share_[(index + i) % shares_];
            while (share.next.load(std::memory_order_relaxed) < share.end) {
                const int64_t task = share.next.fetch_add(1, std::memory_order_relaxed);
                if (task < share.end) {
                    body_(context_, task);
                }
            }
        }
    }

    const int processors_ = processors().threads();
    std::atomic<bool> busy_{false};
    std::atomic<bool> open_{false};
    std::atomic<uint32_t> job_{0};  // counts them
    std::atomic<int> active_{0};
    std::atomic<int> num_threads_{0};
    void (*body_)(void*, int64_t) = nullptr;
    void* context_ = nullptr;
    int shares_ = 0;
    int wakes_ = 0;
    int worker_count_ = 0;
    Worker* workers_[kMaxThreads - 1] = {};
    Share share_[kMaxThreads];
};

// Never destroyed: its threads live as long as the process.
ThreadPool& pool() {
    static ThreadPool* const instance = new ThreadPool;
    return *instance;
}

}  // namespace

void run_parallel(int64_t count, void (*body)(void* context, int64_t index), void* context) {
    pool().run(count, body, context);
}

int num_threads() { return pool().num_threads(); }

void set_num_threads(int count) { pool().set_num_threads(count); }

}  // namespace nopt
