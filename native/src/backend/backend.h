// What a backend does. src/api has validated every argument before it calls here.
#pragma once

#include <memory>
#include <vector>

#include "dimer/dimer.h"
#include "nativeopt/nativeopt.h"
#include "numerics/gradients.h"
#include "rules/rule.h"

namespace nopt {

struct ParamSet;
struct OptimizerState;
class Clocks;
class Cohorts;

// What a backend keeps for one parameter set: work partition, device tables.
struct BackendData {
    virtual ~BackendData() = default;
};

// What a backend keeps for one optimizer: tables of its cohorts.
struct OptimizerData {
    virtual ~OptimizerData() = default;
    // Makes room for steps of so many groups.
    virtual void set_group_count(int) {}
};

// The clocks of a capturable optimizer, where the device counts.
struct StepCounter {
    virtual ~StepCounter() = default;
    // A group's clock after the newest step that the host can see.
    virtual Clock read(int group) const = 0;
    // All clocks, as many as the optimizer has; both wait for the device.
    virtual std::vector<Clock> read_all(size_t count) const = 0;
    virtual void write_all(const std::vector<Clock>& clocks) = 0;
    virtual void set_lr(int group, double lr, void* stream) = 0;
    virtual void set_loss_scale(double loss_scale, void* stream) = 0;
};

// What a backend keeps for one dimer: the sums and the state of its scopes.
struct DimerData {
    virtual ~DimerData() = default;
};

// One pass of a dimer over a set. Every role that it names, or that its decision needs, is bound.
struct DimerPass {
    DimerData& data;
    DimerDecision decision;
    DimerInput input;
    nopt_role grad;        // where g is
    nopt_role displaced;   // where the gradient at the displaced parameters is
    StepCounter* counter;  // null: input.step is the step; else it is counted from the counter's
    bool with_norm;        // whether the options of the gradients need g.g
};

// What a backend keeps of the gradients' options: their sum and what became of them.
struct GradData {
    virtual ~GradData() = default;
    virtual double* sum() = 0;  // in memory of the device
    // As of the newest step that the host can see.
    virtual GradReading read() const = 0;
};

// What a step makes of the gradients.
struct GradPass {
    GradData& data;
    GradInput input;
};

// One step of all tensors. Every state of the rule's variant is bound.
struct StepPlan {
    int rule;                 // a RuleIndex
    const StepInput* inputs;  // of each group; variant and rounding are the same in all of them
    const Clocks& clocks;     // with what they are in this step, unless the device counts
    const Cohorts& cohorts;
    OptimizerData* data;     // null: the backend keeps nothing
    StepCounter* counter;    // null: the host counts
    const GradPass* grads;   // null: no options of gradients
    const DimerPass* dimer;  // null: no dimer
};

class Backend {
public:
    virtual ~Backend() = default;

    // The number of devices, at least 1; throws Error(NOPT_ERROR_UNAVAILABLE) with the reason if there are none.
    virtual int device_count() = 0;
    virtual void device_info(int device, nopt_device_info& info) = 0;

    virtual void* alloc(int device, int64_t bytes) = 0;
    virtual void free(int device, void* memory) = 0;
    virtual void copy(int device, void* destination, const void* source, int64_t bytes, void* stream) = 0;
    // Writes the low `bytes` (1, 2 or 4) of `bits` so many times.
    virtual void fill(int device, void* destination, int64_t count, int bytes, uint32_t bits, void* stream) = 0;
    virtual void* stream_create(int device) = 0;
    virtual void stream_destroy(int device, void* stream) = 0;
    virtual void stream_synchronize(int device, void* stream) = 0;

    // Throws if steps on this device cannot use the address.
    virtual void check_pointer(int device, const void* pointer, const char* role, int64_t tensor) = 0;

    virtual std::unique_ptr<BackendData> create_data(const ParamSet& set) = 0;

    virtual std::unique_ptr<OptimizerData> create_optimizer(const ParamSet&) { return nullptr; }

    // A counter for an optimizer over the set, or null if the host counts all steps. It has the learning rates of the
    // groups, as many as there are of them, and the loss scale.
    virtual std::unique_ptr<StepCounter> create_step_counter(const ParamSet&, const std::vector<double>& lr,
                                                             double loss_scale) {
        (void)lr;
        (void)loss_scale;
        return nullptr;
    }

    // Brings what changed in the set and the optimizer to the device. Throws where a stream that is being captured
    // cannot.
    virtual void upload(OptimizerState&, void*) {}
    // Comes before the passes of a call, and uploads. Throws if the stream is being captured and the host counts the
    // steps.
    virtual void begin(OptimizerState&, void*) {}

    // Takes a step over all tensors of the set. With a dimer, whose scopes have decided, g is turned into the corrected
    // gradient on the way, and theta comes from the backup where N turns. With options of gradients, whose sum is there
    // if it is needed, gradients are scaled and clipped, and the step may be skipped. A counter counts a step that is
    // taken. With both, and a sum that is needed, the dimer's sums have it, and its scopes decide here, unless the step
    // is skipped: then theta is brought back from its backup. Returns false if the host knows that the step was
    // skipped.
    virtual bool step(ParamSet& set, const StepPlan& plan, void* stream) = 0;

    virtual std::unique_ptr<GradData> create_grads(const ParamSet& set) = 0;
    // Sums up the squares of all gradients.
    virtual void sum_grads(ParamSet& set, GradData& grads, void* stream) = 0;

    virtual std::unique_ptr<DimerData> create_dimer(const ParamSet& set, nopt_dimer_scope scope) = 0;
    // The sums of all scopes, kMaxSums doubles each, in memory of the device.
    virtual Sums* dimer_sums(DimerData& data) = 0;
    // Fills the sums that the decision needs, and decides unless it is left for later.
    virtual void dimer_sum(ParamSet& set, const DimerPass& pass, bool decide, void* stream) = 0;
    virtual void dimer_decide(ParamSet& set, const DimerPass& pass, void* stream) = 0;
    virtual void dimer_randomize(ParamSet& set, uint64_t seed, uint64_t first_element, void* stream) = 0;
    // After kDecideNormalize.
    virtual void dimer_scale(ParamSet& set, const DimerPass& pass, void* stream) = 0;
    // Backs up theta, and g if GRAD_BACKUP is bound, and displaces theta along N.
    virtual void dimer_displace(ParamSet& set, double displacement, void* stream) = 0;
    // Turns N or T, or both, and displaces theta again.
    virtual void dimer_turn(ParamSet& set, const DimerPass& pass, void* stream) = 0;
    virtual void dimer_restore(ParamSet& set, void* stream) = 0;
    // The scope as of the newest decision that the host can see.
    virtual DimerReading dimer_read(DimerData& data, int64_t scope) = 0;
    // Sets what each scope reads, to resume, and waits for it.
    virtual void dimer_set(DimerData& data, double DimerReading::*field, const double* values, void* stream) = 0;
};

// The backend, or an Error that says why it is not there. `device` is checked against its devices.
Backend& backend_for(nopt_backend backend);
Backend& backend_for(nopt_backend backend, int32_t device);

Backend& cpu_backend();
#if defined(NOPT_HAS_CUDA)
Backend& cuda_backend();
#endif

}  // namespace nopt
