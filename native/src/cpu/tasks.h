// How the CPU backend divides a set among the threads: into tasks of about the same cost, each some chunks of tensors
// in a row.
#pragma once

#include <vector>

#include "backend/param_set.h"
#include "cpu/thread_pool.h"
#include "numerics/sums.h"

namespace nopt {

// Where a task begins: at a chunk of a tensor. It ends where the next one begins.
struct TaskStart {
    int64_t tensor;
    int64_t element;
    int64_t chunk;  // among those of all tensors
};

struct CpuData : BackendData {
    std::vector<TaskStart> starts;     // one more than there are tasks
    std::vector<int64_t> first_chunk;  // of each tensor, and the number of all

    int64_t task_count() const { return static_cast<int64_t>(starts.size()) - 1; }
    int64_t chunk_count() const { return first_chunk.back(); }
};

std::unique_ptr<CpuData> make_tasks(const std::vector<int64_t>& counts);

inline const CpuData& cpu_data(const ParamSet& set) { return static_cast<const CpuData&>(*set.data); }

// Runs body(own, tensor, begin, end, chunk) for all elements of the set, on all threads: one tensor's elements of a
// task at a time, beginning at the given chunk. `own` is a Body::PerTask, which the body keeps from one tensor of a
// task to the next.
template <class Body>
struct ElementsJob {
    const ParamSet& set;
    const CpuData& data;
    const Body& body;

    static void run_task(void* context, int64_t task) {
        const ElementsJob& job = *static_cast<const ElementsJob*>(context);
        const TaskStart from = job.data.starts[static_cast<size_t>(task)];
        const TaskStart to = job.data.starts[static_cast<size_t>(task) + 1];
        typename Body::PerTask own;
        for (int64_t t = from.tensor; t <= to.tensor; ++t) {
            const size_t tensor = static_cast<size_t>(t);
            const int64_t begin = t == from.tensor ? from.element : 0;
            const int64_t end = t == to.tensor ? to.element : job.set.counts[tensor];
            if (begin < end) {
                job.body(own, tensor, begin, end, job.data.first_chunk[tensor] + begin / kChunkElements);
            }
        }
    }
};

template <class Body>
void for_each_part(const ParamSet& set, const Body& body) {
    ElementsJob<Body> job = {set, cpu_data(set), body};
    parallel_for(cpu_data(set).task_count(), &ElementsJob<Body>::run_task, &job);
}

// Does the same with a lambda that keeps nothing from one part to the next: lambda(tensor, begin, end, chunk).
template <class Lambda>
struct Parts {
    struct PerTask {};
    const Lambda& lambda;

    void operator()(PerTask&, size_t tensor, int64_t begin, int64_t end, int64_t chunk) const {
        lambda(tensor, begin, end, chunk);
    }
};

template <class Lambda>
void for_each_elements(const ParamSet& set, const Lambda& lambda) {
    for_each_part(set, Parts<Lambda>{lambda});
}

}  // namespace nopt
