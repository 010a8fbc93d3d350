// How far each tensor of an optimizer has come. A tensor that has no gradient in a step does not take it, so that
// tensors of one group may be at different steps.
#pragma once

#include <vector>

#include "backend/param_set.h"
#include "rules/registry.h"

namespace nopt {

// The first clocks are those of the groups: they advance in every step. A tensor that has had a gradient in all of them
// is at its group's clock. The others share clocks after these, one for each history. Where the device counts, the
// values are there, and the host knows only which tensor has which clock.
class Clocks {
public:
    // Doubles hold every count up to here, and no run is so long.
    static constexpr int64_t kMaxStep = int64_t{1} << 53;

    Clocks(const ParamSet& set, const Rule& rule);

    // Before a step: parts tensors whose steps are counted together, but which do not all have a gradient now.
    // Allocates when that happens for the first time.
    void follow(const ParamSet& set) {
        if (set.versions[NOPT_ROLE_GRAD] != grad_version_ || set.tensor_options_version != options_version_) {
            part(set);
        }
    }

    int group_count() const { return group_count_; }
    // Whether there is every group that a tensor is to be in, as of the last look. No step is taken without.
    bool has_all_groups() const { return has_all_groups_; }

    int count() const { return static_cast<int>(clocks_.size()); }
    const Clock& at(int clock) const { return clocks_[static_cast<size_t>(clock)].value[now_]; }
    const Clock& next(int clock) const { return clocks_[static_cast<size_t>(clock)].value[1 - now_]; }
    // The group whose steps a clock takes; -1: none, as the group is gone.
    int group_of(int clock) const { return clocks_[static_cast<size_t>(clock)].group; }
    // Whether the clock of a group, or of tensors that have fallen behind, advances in the coming step.
    bool advances(int clock) const { return clocks_[static_cast<size_t>(clock)].advances; }
    int of_tensor(size_t tensor) const { return of_tensor_.empty() ? group_of_tensor(tensor) : of_tensor_[tensor]; }
    // Counts the changes of which tensor has which clock, and of which clocks advance.
    uint64_t map_version() const { return map_version_; }
    uint64_t advance_version() const { return advance_version_; }

    // Throws if a clock that the coming step advances is at the largest count.
    void require_can_step() {
        if (certain_steps_ == 0) {
            count_certain_steps();
        }
    }

    // Computes what the clocks are in the coming step. Comes after require_can_step().
    void prepare(const Rule& rule, const StepInput* inputs);
    // Makes them what the clocks are.
    void commit() {
        now_ = 1 - now_;
        certain_steps_ -= certain_steps_ > 0;
    }

    // Sets a group's clock, and with it that of all tensors of the group.
    void set_group(int group, const Clock& clock);
    // Sets the clocks of all tensors; those of the groups stay.
    void set_tensors(const std::vector<Clock>& clocks);
    // Says that there are so many groups now. New ones begin as a new optimizer does; tensors of those that go keep
    // what they have. The values here are right, whoever counts.
    void set_group_count(const ParamSet& set, int now);

    // Says whether a device counts from now on. Then the values here are those of the last set_values.
    void set_counted_by_device(bool by_device) { is_counted_by_device_ = by_device; }

    // What the device has to copy from one clock to another, in this order, since they were last forgotten.
    struct Copy {
        int32_t from;
        int32_t to;
    };
    const std::vector<Copy>& copies() const { return copies_; }
    void forget_copies() { copies_.clear(); }
    std::vector<Clock> values() const;
    void set_values(const std::vector<Clock>& values);

    // The most clocks that so many groups and tensors can come to.
    static size_t capacity(size_t groups, size_t tensors) { return groups + tensors + 1; }

private:
    static constexpr uint64_t kUnseen = UINT64_MAX;

    struct Entry {
        Clock value[2];  // now and, after prepare(), in the coming step; clocks that no step advances have it twice
        int32_t group;
        int32_t tensors;  // that have it, where of_tensor_ is not empty
        bool advances;
    };

    int32_t group_of_tensor(size_t tensor) const { return groups_.empty() ? 0 : groups_[tensor]; }
    bool is_of_group(int32_t clock) const { return clock < group_count_; }
    size_t capacity() const { return capacity(static_cast<size_t>(group_count_), tensors_); }
    void reserve(int group_count);
    void count_certain_steps();
    void set(size_t clock, const Clock& value);
    void part(const ParamSet& set);
    void open_map();
    void close_map();
    void follow_groups(const ParamSet& set, bool values_are_here);
    void follow_gradients(const ParamSet& set);
    void leave_groups(int first);
    int32_t add(int32_t from, int32_t group);
    void move(size_t tensor, int32_t to);

    const Clock initial_;
    const size_t tensors_;
    int group_count_ = 1;
    bool has_all_groups_ = true;
    std::vector<Entry> clocks_;
    int now_ = 0;                     // which of the two values
    int64_t certain_steps_ = 0;       // that every clock can take without a look at its count; 0: look
    std::vector<int32_t> of_tensor_;  // empty: each tensor has its group's
    std::vector<int32_t> groups_;     // of the tensors, as of the last look; empty: all 0; -1: a group that is gone
    std::vector<Copy> copies_;
    std::vector<uint8_t> what_;     // room for follow_gradients
    std::vector<int32_t> waiting_;  // room for follow_gradients
    bool is_counted_by_device_ = false;
    uint64_t grad_version_ = 0;
    uint64_t options_version_ = kUnseen;
    uint64_t map_version_ = 1;
    uint64_t advance_version_ = 1;
};

inline bool same_clock(const Clock& a, const Clock& b) {
    bool same = a.step == b.step;
    for (int i = 0; i < kMaxRunning; ++i) {
        same = same && a.running[i] == b.running[i];
    }
    return same;
}

}  // namespace nopt
