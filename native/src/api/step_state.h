// Reading and changing the clocks of an optimizer, wherever they are counted.
#pragma once

#include "backend/optimizer_state.h"

namespace nopt {

// Throws unless the optimizer has the group.
void require_group(const OptimizerState& optimizer, int32_t group);

// The values of all clocks. Waits for the device where it counts.
std::vector<Clock> clock_values(const OptimizerState& optimizer);

// Brings the values here, changes clocks, and brings the values back.
template <class Change>
void change_clocks(OptimizerState& optimizer, const Change& change) {
    if (optimizer.counter == nullptr) {
        change(optimizer.clocks);
        return;
    }
    optimizer.clocks.set_values(clock_values(optimizer));
    change(optimizer.clocks);
    optimizer.clocks.forget_copies();
    optimizer.counter->write_all(optimizer.clocks.values());
}

}  // namespace nopt
