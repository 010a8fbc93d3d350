// Branches, barriers, and what the lanes of a warp do together.
#include <algorithm>

#include "program.h"
#include "report.h"

namespace ptx {
namespace {

Next branch(Thread& t, const Instruction& i) {
    t.next = static_cast<size_t>(i.offset);
    return Next::kGoOn;
}
Next finish(Thread& t, const Instruction&) {
    t.state = Thread::State::kDone;
    return Next::kWait;
}
Next barrier(Thread& t, const Instruction&) {
    t.state = Thread::State::kAtBarrier;
    return Next::kWait;
}
// Launches and barriers order all that is modelled.
Next fence(Thread&, const Instruction&) { return Next::kGoOn; }

Next sync_warp(Thread& t, const Instruction& i) {
    t.state = Thread::State::kInExchange;
    t.exchange = {Together::kSync, t.get<uint32_t>(i, 0), 0, 0, 0, false};
    if (t.exchange.mask != 0xffffffffu) {
        give_up("bar.warp.sync of a part of the warp is not modelled");
    }
    return Next::kWait;
}

template <Together kKind>
Next shuffle(Thread& t, const Instruction& i) {
    t.state = Thread::State::kInExchange;
    t.exchange = {kKind,
                  t.get<uint32_t>(i, 3),
                  t.get<uint32_t>(i, 0),
                  t.get<uint32_t>(i, 1),
                  t.get<uint32_t>(i, 2),
                  t.is_undefined(i.from[0])};
    return Next::kWait;
}

Next reduce(Thread& t, const Instruction& i) {
    t.state = Thread::State::kInExchange;
    t.exchange = {Together::kLargest, t.get<uint32_t>(i, 1), t.get<uint32_t>(i, 0), 0, 0, t.is_undefined(i.from[0])};
    return Next::kWait;
}

unsigned special_tid(const Thread& t) { return t.index; }
unsigned special_ntid(const Thread& t) { return t.block->thread_count; }
unsigned special_ctaid(const Thread& t) { return t.block->index; }
unsigned special_nctaid(const Thread& t) { return t.block->count; }
unsigned special_laneid(const Thread& t) { return t.index % kWarpThreads; }

template <unsigned (*kValue)(const Thread&)>
Next move_special(Thread& t, const Instruction& i) {
    t.put(i.to[0], kValue(t));
    return Next::kGoOn;
}

// The lane that a shuffle reads from; its own if that is beyond its segment.
unsigned lane_to_read(const Exchange& e, unsigned lane, bool& inside) {
    const uint32_t segment = e.clamp >> 8 & 31;
    const uint32_t clamp = e.clamp & 31;
    const uint32_t first = lane & segment;
    const uint32_t last = first | (clamp & ~segment);
    const uint32_t by = e.lane & 31;
    uint32_t from = lane;
    switch (e.kind) {
        case Together::kSync:
        case Together::kLargest:
            break;
        case Together::kXor:
            from = lane ^ by;
            break;
        case Together::kIndex:
            from = first | (by & ~segment);
            break;
        case Together::kUp:  // whose clamp is the first lane
            from = lane - by;
            inside = static_cast<int32_t>(from) >= static_cast<int32_t>(last);
            return inside ? from : lane;
        case Together::kDown:
            from = lane + by;
            break;
    }
    inside = from <= last;
    return inside ? from : lane;
}

// Whether all lanes that this one's exchange names are in the same one, or have ended.
bool is_complete(const std::vector<Thread*>& lanes, unsigned lane) {
    const Exchange& e = lanes[lane]->exchange;
    for (unsigned other = 0; other < lanes.size(); ++other) {
        const Thread& t = *lanes[other];
        const bool is_there =
            t.state == Thread::State::kInExchange && t.exchange.mask == e.mask && t.exchange.kind == e.kind;
        if ((e.mask >> other & 1) != 0 && !is_there && t.state != Thread::State::kDone) {
            return false;
        }
    }
    return true;
}

// The largest value of all lanes that are there; undefined if one is.
Exchange largest_of(const std::vector<Thread*>& there) {
    Exchange largest = {};
    for (const Thread* const t : there) {
        if (t != nullptr) {
            largest.value = std::max(largest.value, t->exchange.value);
            largest.undefined = largest.undefined || t->exchange.undefined;
        }
    }
    return largest;
}

// Gives all lanes of the mask their values.
void finish_exchange(const std::vector<Thread*>& lanes, uint32_t mask) {
    std::vector<Thread*> there(lanes.size());
    for (unsigned lane = 0; lane < lanes.size(); ++lane) {
        const bool is_there = (mask >> lane & 1) != 0 && lanes[lane]->state == Thread::State::kInExchange;
        there[lane] = is_there ? lanes[lane] : nullptr;
    }
    const Thread& first = **std::find_if(there.begin(), there.end(), [](const Thread* t) { return t != nullptr; });
    const Exchange largest = largest_of(there);
    for (unsigned lane = 0; lane < there.size(); ++lane) {
        if (there[lane] == nullptr) {
            continue;
        }
        Thread& t = *there[lane];
        const Instruction& i = t.block->kernel->code[t.next - 1];
        t.state = Thread::State::kRuns;
        if (t.next != first.next) {
            report(t, i, "exchanges with lanes at another instruction");
        }
        if (t.exchange.kind == Together::kSync) {
            ++t.syncs;
            continue;
        }
        bool inside = true;
        const unsigned from = lane_to_read(t.exchange, lane, inside);
        if (from >= there.size() || there[from] == nullptr) {
            report(t, i, "reads from a lane that is not there", from);
            continue;
        }
        const Exchange& read = t.exchange.kind == Together::kLargest ? largest : there[from]->exchange;
        t.put(i.to[0], read.value);
        t.undefined[i.to[0]] = read.undefined ? 1 : 0;
        t.any_undefined = t.any_undefined || read.undefined;
        if (i.to[1] != kNothing) {
            t.put(i.to[1], inside);
        }
    }
}

}  // namespace

bool exchange(Block& block, unsigned warp) {
    std::vector<Thread*> lanes;
    for (unsigned i = warp * kWarpThreads; i < std::min(block.thread_count, (warp + 1) * kWarpThreads); ++i) {
        lanes.push_back(&block.threads[i]);
    }
    bool any = false;
    for (unsigned lane = 0; lane < lanes.size(); ++lane) {
        const Thread& t = *lanes[lane];
        if (t.state != Thread::State::kInExchange) {
            continue;
        }
        if ((t.exchange.mask >> lane & 1) == 0) {
            report(t, block.kernel->code[t.next - 1], "is not in its own mask");
        }
        if (is_complete(lanes, lane)) {
            finish_exchange(lanes, t.exchange.mask | 1u << lane);
            any = true;
        }
    }
    return any;
}

void add_control(Operations& all) {
    all["bra"] = branch;
    all["bra.uni"] = branch;
    all["ret"] = finish;
    all["exit"] = finish;
    all["bar.sync"] = barrier;
    all["barrier.sync"] = barrier;
    all["bar.warp.sync"] = sync_warp;
    all["shfl.sync.bfly.b32"] = shuffle<Together::kXor>;
    all["shfl.sync.idx.b32"] = shuffle<Together::kIndex>;
    all["shfl.sync.up.b32"] = shuffle<Together::kUp>;
    all["shfl.sync.down.b32"] = shuffle<Together::kDown>;
    all["redux.sync.max.u32"] = reduce;
    // Grids and blocks have one dimension.
    all["mov.%tid.x"] = move_special<special_tid>;
    all["mov.%ntid.x"] = move_special<special_ntid>;
    all["mov.%ctaid.x"] = move_special<special_ctaid>;
    all["mov.%nctaid.x"] = move_special<special_nctaid>;
    all["mov.%laneid"] = move_special<special_laneid>;
    for (const char* const scope : {"membar.cta", "membar.gl", "membar.sys", "fence.acq_rel.sys", "fence.sc.sys"}) {
        all[scope] = fence;
    }
}

}  // namespace ptx
