#include "cpu/thread_pool.h"

#include <errno.h>
#include <stdlib.h>

#include <atomic>
#include <memory>
#include <system_error>
#include <thread>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif defined(__APPLE__)
#include <dispatch/dispatch.h>
#else
#include <sched.h>
#include <semaphore.h>
#endif

#include "backend/error.h"

namespace nopt {
namespace {

constexpr int kMaxThreads = 1024;

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

struct Worker {
    Semaphore wake;
    std::atomic<bool> notified{false};
};

int available_processors() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return CPU_COUNT(&set);
    }
#endif
    const unsigned count = std::thread::hardware_concurrency();
    return count == 0 ? 1 : static_cast<int>(count);
}

int initial_num_threads() {
    const char* text = getenv("NATIVEOPT_NUM_THREADS");
    if (text == nullptr || text[0] == '\0') {
        const int processors = available_processors();
        return processors < kMaxThreads ? processors : kMaxThreads;
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

// One job at a time. A worker joins a job by counting itself into `active` and then finding `open` set; the caller
// clears `open` and waits for `active` to fall to 0, so a worker that wakes late finds the job closed and the caller
// never waits for it to wake.
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
        count_ = count;
        next_.store(0, std::memory_order_relaxed);
        open_.store(true);
        for (int i = 0; i < started && i < helpers; ++i) {
            if (!workers_[i]->notified.exchange(true)) {
                workers_[i]->wake.post();
            }
        }
        work();
        open_.store(false);
        while (active_.load() != 0) {
            std::this_thread::yield();
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
        for (;;) {
            self->wake.wait();
            self->notified.store(false);
            active_.fetch_add(1);
            if (open_.load()) {
                work();
            }
            active_.fetch_sub(1);
        }
    }

    void work() {
        for (;;) {
            const int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
            if (i >= count_) {
                return;
            }
            body_(context_, i);
        }
    }

    std::atomic<bool> busy_{false};
    std::atomic<bool> open_{false};
    std::atomic<int> active_{0};
    std::atomic<int64_t> next_{0};
    std::atomic<int> num_threads_{0};
    void (*body_)(void*, int64_t) = nullptr;
    void* context_ = nullptr;
    int64_t count_ = 0;
    int worker_count_ = 0;
    Worker* workers_[kMaxThreads - 1] = {};
};

// Never destroyed: its threads live as long as the process.
ThreadPool& pool() {
    static ThreadPool* const instance = new ThreadPool;
    return *instance;
}

}  // namespace

void parallel_for(int64_t count, void (*body)(void* context, int64_t index), void* context) {
    pool().run(count, body, context);
}

int num_threads() { return pool().num_threads(); }

void set_num_threads(int count) { pool().set_num_threads(count); }

}  // namespace nopt
