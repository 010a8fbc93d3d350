#include "backend/clocks.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "backend/error.h"

namespace nopt {

Clocks::Clocks(const ParamSet& set, const Rule& rule)
    : initial_(initial_clock(rule.info)), tensors_(set.counts.size()) {
    clocks_.push_back({{initial_, initial_}, 0, 0, true});
}

void Clocks::count_certain_steps() {
    int64_t largest = 0;
    for (int c = 0; c < count(); ++c) {
        if (advances(c) && at(c).step >= kMaxStep) {
            throw Error(
                NOPT_ERROR_INVALID_STATE,
                "the step count is 2^53, the largest there is; set it anew with nopt_optimizer_set_tensor_states");
        }
        largest = std::max(largest, at(c).step);
    }
    certain_steps_ = kMaxStep - largest;
}

void Clocks::set(size_t clock, const Clock& value) {
    certain_steps_ = 0;
    clocks_[clock].value[0] = value;
    clocks_[clock].value[1] = value;
}

void Clocks::prepare(const Rule& rule, const StepInput* inputs) {
    for (Entry& entry : clocks_) {
        entry.value[1 - now_] = entry.value[now_];
        if (entry.advances) {
            rule.advance(inputs[entry.group], entry.value[1 - now_]);
        }
    }
}

void Clocks::part(const ParamSet& set) {
    if (set.tensor_options_version != options_version_) {
        follow_groups(set, !is_counted_by_device_);
    }
    grad_version_ = set.versions[NOPT_ROLE_GRAD];
    if (set.bound(NOPT_ROLE_GRAD) && (set.has_frozen || !of_tensor_.empty())) {
        follow_gradients(set);
    }
}

// Makes room for all clocks that there can be with so many groups.
void Clocks::reserve(int group_count) {
    const size_t most = capacity(static_cast<size_t>(group_count), tensors_);
    clocks_.reserve(most);
    copies_.reserve(most);
    what_.reserve(most);
    waiting_.reserve(most);
}

// From here on every tensor has an entry of its own.
void Clocks::open_map() {
    if (!of_tensor_.empty() || tensors_ == 0) {
        return;
    }
    reserve(group_count_);
    of_tensor_.reserve(tensors_);
    for (size_t t = 0; t < tensors_; ++t) {
        of_tensor_.push_back(group_of_tensor(t));
        ++clocks_[static_cast<size_t>(of_tensor_[t])].tensors;
    }
}

// Drops those entries if all tensors have their group's clock again.
void Clocks::close_map() {
    for (const int32_t clock : of_tensor_) {
        if (!is_of_group(clock)) {
            return;
        }
    }
    of_tensor_.clear();
    clocks_.resize(static_cast<size_t>(group_count_));
    for (Entry& entry : clocks_) {
        entry.tensors = 0;
    }
}

// A tensor that is in another group now keeps its clock's value, in a clock of that group. As long as a group is not
// there, all tensors stay where they are.
void Clocks::follow_groups(const ParamSet& set, bool values_are_here) {
    has_all_groups_ = set.group.empty() || *std::max_element(set.group.begin(), set.group.end()) < group_count_;
    if (!has_all_groups_) {
        return;
    }
    options_version_ = set.tensor_options_version;
    if (groups_ == set.group) {
        return;
    }
    open_map();
    groups_ = set.group;
    std::map<std::pair<int32_t, int32_t>, int32_t> moved;  // from a clock to a group
    for (size_t t = 0; t < tensors_; ++t) {
        const int32_t from = of_tensor_[t];
        const int32_t group = group_of_tensor(t);
        if (clocks_[static_cast<size_t>(from)].group == group) {
            continue;
        }
        const auto known = moved.find({from, group});
        int32_t to = known == moved.end() ? -1 : known->second;
        if (to < 0) {
            to = values_are_here && same_clock(at(from), at(group)) ? group : add(from, group);
            moved[{from, group}] = to;
        }
        move(t, to);
    }
    close_map();
    ++map_version_;
}

// A tensor steps if it has a gradient; one without elements does so always, as it has nothing to be without.
void Clocks::follow_gradients(const ParamSet& set) {
    open_map();
    constexpr uint8_t kSteps = 1;
    constexpr uint8_t kWaits = 2;
    const auto steps = [&](size_t t) { return set.counts[t] == 0 || set.pointers[NOPT_ROLE_GRAD][t] != nullptr; };
    what_.assign(clocks_.size(), 0);
    for (size_t t = 0; t < tensors_; ++t) {
        what_[static_cast<size_t>(of_tensor_[t])] |= steps(t) ? kSteps : kWaits;
    }
    waiting_.assign(clocks_.size(), -1);  // by clock, the one that its waiting tensors go on with
    bool moves = false;
    for (size_t t = 0; t < tensors_; ++t) {
        const size_t from = static_cast<size_t>(of_tensor_[t]);
        // The clock of a group goes on in any case, another one only if some of its tensors step.
        const bool is_parted = is_of_group(of_tensor_[t]) || what_[from] == (kSteps | kWaits);
        if (!is_parted || steps(t)) {
            continue;
        }
        if (waiting_[from] < 0) {
            waiting_[from] = add(static_cast<int32_t>(from), clocks_[from].group);
        }
        move(t, waiting_[from]);
        moves = true;
    }
    for (size_t c = static_cast<size_t>(group_count_); c < clocks_.size(); ++c) {
        const bool advances = clocks_[c].group >= 0 && c < what_.size() && (what_[c] & kSteps) != 0;
        if (clocks_[c].advances != advances) {
            clocks_[c].advances = advances;
            ++advance_version_;
        }
    }
    map_version_ += moves ? 1 : 0;
}

// A new clock with the value of another one; the place of one that no tensor has any more is taken first.
int32_t Clocks::add(int32_t from, int32_t group) {
    const Entry entry = {{at(from), at(from)}, group, 0, false};
    size_t place = clocks_.size();
    if (place == capacity()) {
        for (place = static_cast<size_t>(group_count_); clocks_[place].tensors != 0; ++place) {
        }
        clocks_[place] = entry;
    } else {
        clocks_.push_back(entry);
    }
    if (is_counted_by_device_) {
        copies_.push_back({from, static_cast<int32_t>(place)});
    }
    ++advance_version_;
    return static_cast<int32_t>(place);
}

void Clocks::move(size_t tensor, int32_t to) {
    --clocks_[static_cast<size_t>(of_tensor_[tensor])].tensors;
    ++clocks_[static_cast<size_t>(to)].tensors;
    of_tensor_[tensor] = to;
}

void Clocks::set_group(int group, const Clock& clock) {
    set(static_cast<size_t>(group), clock);
    for (size_t t = 0; t < of_tensor_.size(); ++t) {
        if (group_of_tensor(t) == group) {
            move(t, group);
        }
    }
    close_map();
    ++map_version_;
    ++advance_version_;
    grad_version_ = kUnseen;
}

void Clocks::set_tensors(const std::vector<Clock>& clocks) {
    certain_steps_ = 0;
    open_map();
    clocks_.resize(static_cast<size_t>(group_count_));
    for (Entry& entry : clocks_) {
        entry.tensors = 0;
    }
    std::map<std::tuple<int32_t, int64_t, std::vector<double>>, int32_t> known;
    const auto key_of = [](int32_t group, const Clock& clock) {
        return std::make_tuple(group, clock.step, std::vector<double>(clock.running, clock.running + kMaxRunning));
    };
    for (int32_t g = 0; g < group_count_; ++g) {
        known[key_of(g, at(g))] = g;
    }
    for (size_t t = 0; t < tensors_; ++t) {
        const int32_t group = group_of_tensor(t);
        const auto entry = known.insert({key_of(group, clocks[t]), static_cast<int32_t>(clocks_.size())});
        if (entry.second) {
            clocks_.push_back({{clocks[t], clocks[t]}, group, 0, false});
        }
        of_tensor_[t] = entry.first->second;
        ++clocks_[static_cast<size_t>(of_tensor_[t])].tensors;
    }
    close_map();
    ++map_version_;
    ++advance_version_;
    grad_version_ = kUnseen;
}

// Gives the tensors of all groups from `first` on clocks of no group, with the same values.
void Clocks::leave_groups(int first) {
    open_map();
    std::vector<int32_t> left(clocks_.size(), -1);  // by clock, the one that its tensors go on with
    for (size_t t = 0; t < tensors_; ++t) {
        const int32_t from = of_tensor_[t];
        if (group_of_tensor(t) < first) {
            continue;
        }
        groups_[t] = -1;
        int32_t& to = left[static_cast<size_t>(from)];
        to = to < 0 ? add(from, -1) : to;
        move(t, to);
    }
}

void Clocks::set_group_count(const ParamSet& set, int now) {
    const int before = group_count_;
    reserve(std::max(before, now));
    if (now < before) {
        leave_groups(now);
        clocks_.erase(clocks_.begin() + now, clocks_.begin() + before);
    } else {
        clocks_.insert(clocks_.begin() + before, static_cast<size_t>(now - before), {{initial_, initial_}, 0, 0, true});
        for (int32_t g = before; g < now; ++g) {
            clocks_[static_cast<size_t>(g)].group = g;
        }
    }
    for (int32_t& clock : of_tensor_) {
        clock += clock >= before ? now - before : 0;
    }
    group_count_ = now;
    certain_steps_ = 0;
    follow_groups(set, true);
    close_map();
    ++map_version_;
    ++advance_version_;
    grad_version_ = kUnseen;
}

std::vector<Clock> Clocks::values() const {
    std::vector<Clock> values;
    for (const Entry& entry : clocks_) {
        values.push_back(entry.value[now_]);
    }
    return values;
}

void Clocks::set_values(const std::vector<Clock>& values) {
    for (size_t c = 0; c < clocks_.size(); ++c) {
        set(c, values[c]);
    }
}

}  // namespace nopt
