#include "backend/cohorts.h"

#include <map>
#include <tuple>

namespace nopt {

void Cohorts::find(const ParamSet& set, const Clocks& clocks) {
    options_version_ = set.tensor_options_version;
    map_version_ = clocks.map_version();
    ++version_;
    const size_t tensors = set.counts.size();
    all_.clear();
    of_tensor_.assign(tensors, 0);
    std::map<std::tuple<int32_t, int32_t, double, double>, int32_t> known;
    for (size_t t = 0; t < tensors; ++t) {
        const Cohort own = {set.group.empty() ? 0 : set.group[t], clocks.of_tensor(t),
                            set.lr_scale.empty() ? 1.0 : set.lr_scale[t],
                            set.weight_decay.empty() ? NOPT_INHERIT : set.weight_decay[t]};
        const auto entry =
            known.insert({{own.group, own.clock, own.lr_scale, own.weight_decay}, static_cast<int32_t>(all_.size())});
        if (entry.second) {
            all_.push_back(own);
        }
        of_tensor_[t] = entry.first->second;
    }
    if (all_.empty()) {
        all_.push_back({0, 0, 1.0, NOPT_INHERIT});
    }
    if (all_.size() == 1) {
        of_tensor_.clear();
    }
}

}  // namespace nopt
