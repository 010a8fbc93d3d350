// Capturable optimizers: the device counts the steps, and a captured step replayed k times gives the bits of k steps.
#include "support.h"
#include "support/mixed_model.h"

namespace nopt_test {
namespace {

const std::vector<int64_t> kCounts = {0, 700, 3, 16384 + 5, 1, 0};
constexpr int kSteps = 6;

// What is captured on a stream, to be replayed.
class Graph {
public:
    Graph(cudaStream_t stream, const std::function<void()>& body) : stream_(stream) {
        EXPECT_EQ(cudaSuccess, cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        body();
        cudaGraph_t graph = nullptr;
        EXPECT_EQ(cudaSuccess, cudaStreamEndCapture(stream, &graph));
        EXPECT_EQ(cudaSuccess, cudaGraphInstantiateWithFlags(&exec_, graph, 0));
        EXPECT_EQ(cudaSuccess, cudaGraphDestroy(graph));
    }
    ~Graph() { EXPECT_EQ(cudaSuccess, cudaGraphExecDestroy(exec_)); }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    nopt_status replay() const { return cudaGraphLaunch(exec_, stream_) == cudaSuccess ? NOPT_OK : NOPT_ERROR_DEVICE; }

private:
    cudaStream_t stream_;
    cudaGraphExec_t exec_ = nullptr;
};

nopt_hyperparams hyperparams_of(const std::string& rule) {
    nopt_hyperparams h = test_hyperparams(rule);
    h.flags |= known_flags(rule, NOPT_FLAG_DECOUPLED_WEIGHT_DECAY);
    weight_decay(h) = 0.01;
    if (rule == "dualadam") {
        value(h, rule, "switching_rate") = 0.3;  // ends within the steps
    }
    return h;
}

double lr_of(int step) { return 1e-3 / (1 + step / 2); }

class CudaGraph : public testing::TestWithParam<std::string> {
protected:
    // The reference: steps that the host counts, on the CPU.
    std::vector<float> eager(int groups) {
        const OnBackend on(NOPT_BACKEND_CPU);
        Model model(GetParam(), kCounts);
        set_groups(model, groups);
        nopt_hyperparams h = hyperparams_of(GetParam());
        for (int step = 0; step < kSteps; ++step) {
            lr(h) = lr_of(step);
            model.new_gradients();
            NOPT_EXPECT_OK(model.step(h));
        }
        state = model.state();
        return model.all_values();
    }

    void expect_state(const nopt_step_state& s) {
        EXPECT_EQ(state.step, s.step);
        EXPECT_TRUE(same_state(state, s));
    }

    nopt_step_state state = {};
};

TEST_P(CudaGraph, StepsThatTheDeviceCountsEqualTheHosts) {
    const std::vector<float> values = eager(3);
    for (const nopt_backend backend : {NOPT_BACKEND_CPU, NOPT_BACKEND_CUDA}) {
        const OnBackend on(backend);
        Model model(GetParam(), kCounts);
        set_groups(model, 3);
        nopt_hyperparams h = hyperparams_of(GetParam());
        for (int step = 0; step < kSteps; ++step) {
            // The count goes to the device and back.
            NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, step % 3 != 2, nullptr));
            lr(h) = lr_of(step);
            if (step % 3 == 1) {
                NOPT_ASSERT_OK(nopt_optimizer_set_lr(model.optimizer, lr(h), nullptr));
                lr(h) = NOPT_LR_ON_DEVICE;
            }
            model.new_gradients();
            NOPT_ASSERT_OK(model.step(h));
        }
        model.synchronize();
        expect_state(model.state());
        EXPECT_TRUE(same_bits(values, model.all_values())) << backend;
    }
}

TEST_P(CudaGraph, ReplaysEqualSteps) {
    for (const int groups : {1, 3, 20}) {
        const std::vector<float> values = eager(groups);
        Stream stream;
        Model model(GetParam(), kCounts);
        model.stream = stream;
        set_groups(model, groups);
        nopt_hyperparams h = hyperparams_of(GetParam());
        lr(h) = NOPT_LR_ON_DEVICE;
        NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, stream));
        NOPT_ASSERT_OK(nopt_optimizer_set_lr(model.optimizer, 123.0, stream));  // of no step
        NOPT_ASSERT_OK(nopt_optimizer_upload(model.optimizer, stream));
        const Graph graph(stream.cuda(), [&] { NOPT_EXPECT_OK(nopt_optimizer_step(model.optimizer, &h, stream)); });
        EXPECT_EQ(0, model.state().step);
        for (int step = 0; step < kSteps; ++step) {
            NOPT_ASSERT_OK(nopt_optimizer_set_lr(model.optimizer, lr_of(step), stream));
            model.new_gradients();
            NOPT_ASSERT_OK(model.work([&] { return graph.replay(); }));
        }
        model.synchronize();
        expect_state(model.state());
        EXPECT_TRUE(same_bits(values, model.all_values())) << groups;
        EXPECT_TRUE(model.intact());

        // A replay from another count, and a step of the host's count after all.
        NOPT_ASSERT_OK(nopt_optimizer_set_state(model.optimizer, &state));
        NOPT_ASSERT_OK(model.work([&] { return graph.replay(); }));
        NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 0, stream));
        EXPECT_EQ(kSteps + 1, model.state().step);
        lr(h) = 1e-3;
        NOPT_ASSERT_OK(model.step(h));
        EXPECT_EQ(kSteps + 2, model.state().step);
    }
}

INSTANTIATE_TEST_SUITE_P(Rules, CudaGraph, testing::ValuesIn(all_rules()),
                         [](const testing::TestParamInfo<std::string>& one) { return one.param; });

// New addresses and options reach a captured step through the tables.
TEST(CudaGraphs, UploadsReachReplays) {
    const auto run = [&](bool captured) {
        Stream stream;
        Model model("adam", kCounts);
        model.stream = stream;
        nopt_hyperparams h = defaults("adam");
        NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, stream));
        model.new_gradients();
        NOPT_EXPECT_OK(model.step(h));
        GuardedBuffer other(kCounts, 1, NOPT_BACKEND_CUDA);
        Random random(9);
        other.fill(random);
        other.before_work(stream);
        std::unique_ptr<Graph> graph;
        if (captured) {
            graph = std::make_unique<Graph>(stream.cuda(),
                                            [&] { NOPT_EXPECT_OK(nopt_optimizer_step(model.optimizer, &h, stream)); });
        }
        const std::vector<void*> pointers = other.pointers();
        NOPT_EXPECT_OK(nopt_param_set_bind(model.set, NOPT_ROLE_GRAD, model.tensor_count(), pointers.data()));
        set_groups(model, 4);
        NOPT_EXPECT_OK(nopt_optimizer_upload(model.optimizer, stream));
        NOPT_EXPECT_OK(captured ? model.work([&] { return graph->replay(); }) : model.step(h));
        model.synchronize();
        return model.all_values();
    };
    EXPECT_TRUE(same_bits(run(false), run(true)));
}

// Which tensors have a gradient reaches a captured step, too: each tensor's steps are its own.
TEST(CudaGraphs, ReplaysStepTheTensorsThatHaveGradients) {
    const std::vector<std::vector<bool>> frozen = {
        {false, true, false, false, false, false}, {false, true, false, true, true, false},
        {true, false, true, false, true, true},    {false, false, false, false, false, false},
        {false, false, true, true, false, false},  {false, true, false, false, true, false}};
    for (const int groups : {1, 3}) {
        const auto run = [&](nopt_backend backend, bool captured, std::vector<nopt_step_state>& states) {
            const OnBackend on(backend);
            std::unique_ptr<Stream> stream;
            Model model("adam", kCounts);
            set_groups(model, groups);
            const nopt_hyperparams h = hyperparams_of("adam");
            std::unique_ptr<Graph> graph;
            if (backend == NOPT_BACKEND_CUDA) {
                stream = std::make_unique<Stream>();
                model.stream = *stream;
            }
            if (captured) {
                NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, model.stream));
                NOPT_EXPECT_OK(nopt_optimizer_upload(model.optimizer, model.stream));
                graph = std::make_unique<Graph>(
                    stream->cuda(), [&] { NOPT_EXPECT_OK(nopt_optimizer_step(model.optimizer, &h, model.stream)); });
            }
            for (const std::vector<bool>& pattern : frozen) {
                model.new_gradients();
                model.freeze(pattern);
                if (captured) {
                    NOPT_EXPECT_OK(nopt_optimizer_upload(model.optimizer, model.stream));
                }
                NOPT_EXPECT_OK(captured ? model.work([&] { return graph->replay(); }) : model.step(h));
            }
            model.synchronize();
            states = model.tensor_states();
            EXPECT_EQ(kSteps, model.state().step);
            return model.all_values();
        };
        std::vector<nopt_step_state> on_cpu, plain, replayed;
        const std::vector<float> values = run(NOPT_BACKEND_CPU, false, on_cpu);
        EXPECT_TRUE(same_bits(values, run(NOPT_BACKEND_CUDA, false, plain))) << groups;
        EXPECT_TRUE(same_bits(values, run(NOPT_BACKEND_CUDA, true, replayed))) << groups;
        const int64_t steps[] = {6, 3, 4, 4, 3, 6};  // those without elements step always
        for (size_t t = 0; t < kCounts.size(); ++t) {
            EXPECT_EQ(steps[t], on_cpu[t].step) << t;
            EXPECT_TRUE(same_state(on_cpu[t], plain[t])) << t;
            EXPECT_TRUE(same_state(on_cpu[t], replayed[t])) << t;
        }
    }
}

// Clipping and skipping are decided on the device, at each replay anew.
TEST(CudaGraphs, ReplaysDecideOnTheGradients) {
    const auto run = [&](nopt_backend backend, nopt_grad_status& status) {
        const OnBackend on(backend);
        std::unique_ptr<Stream> stream;
        Model model("adam", kCounts);
        nopt_grad_options o = {};
        o.struct_size = sizeof o;
        o.flags = NOPT_GRAD_CLIP_NORM | NOPT_GRAD_SKIP_NONFINITE;
        o.max_norm = 2.0;
        o.loss_scale = 4.0;
        NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model.optimizer, &o));
        const nopt_hyperparams h = hyperparams_of("adam");
        std::unique_ptr<Graph> graph;
        if (backend == NOPT_BACKEND_CUDA) {
            stream = std::make_unique<Stream>();
            model.stream = *stream;
            NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, model.stream));
            NOPT_EXPECT_OK(nopt_optimizer_upload(model.optimizer, model.stream));
            graph = std::make_unique<Graph>(
                stream->cuda(), [&] { NOPT_EXPECT_OK(nopt_optimizer_step(model.optimizer, &h, model.stream)); });
        }
        for (int step = 0; step < kSteps; ++step) {
            model.new_gradients();
            if (step % 3 == 1) {
                model.buffer(NOPT_ROLE_GRAD).tensor(3)[16384] = NAN;
            }
            NOPT_EXPECT_OK(graph != nullptr ? model.work([&] { return graph->replay(); }) : model.step(h));
        }
        model.synchronize();
        EXPECT_EQ(4, model.state().step);
        status.struct_size = sizeof status;
        NOPT_EXPECT_OK(nopt_optimizer_get_grad_status(model.optimizer, &status));
        EXPECT_EQ(2, status.skipped_steps);
        return model.values_of(model.written());
    };
    nopt_grad_status cpu = {}, cuda = {};
    EXPECT_TRUE(same_bits(run(NOPT_BACKEND_CPU, cpu), run(NOPT_BACKEND_CUDA, cuda)));
    EXPECT_EQ(cpu.norm, cuda.norm);
    EXPECT_EQ(cpu.clip_coefficient, cuda.clip_coefficient);
    EXPECT_LT(cuda.clip_coefficient, 1.0);
}

// The random numbers of a captured step are those of the step that the device counts.
TEST(CudaGraphs, ReplaysRoundByTheirStep) {
    const auto run = [&](nopt_backend backend) {
        const OnBackend on(backend);
        std::unique_ptr<Stream> stream;
        MixedModel model("adam", all_mixes());
        Random random(3);
        model.fill_params(random);
        model.fill(NOPT_ROLE_GRAD, random);
        nopt_hyperparams h = defaults("adam");
        h.flags = NOPT_FLAG_STOCHASTIC_ROUNDING | NOPT_FLAG_STOCHASTIC_ROUNDING_STATES;
        h.rounding_seed = 5;
        if (backend == NOPT_BACKEND_CPU) {
            for (int step = 0; step < kSteps; ++step) {
                NOPT_EXPECT_OK(nopt_optimizer_step(model.optimizer, &h, nullptr));
            }
            return model.all_bytes();
        }
        stream = std::make_unique<Stream>();
        NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, *stream));
        NOPT_EXPECT_OK(nopt_optimizer_upload(model.optimizer, *stream));
        const Graph graph(stream->cuda(), [&] { NOPT_EXPECT_OK(nopt_optimizer_step(model.optimizer, &h, *stream)); });
        for (int step = 0; step < kSteps; ++step) {
            NOPT_EXPECT_OK(graph.replay());
        }
        NOPT_EXPECT_OK(nopt_stream_synchronize(backend, 0, *stream));
        return model.all_bytes();
    };
    EXPECT_TRUE(run(NOPT_BACKEND_CPU) == run(NOPT_BACKEND_CUDA));
}

// A whole update of a dimer and the steps with its direction, each captured once.
TEST(CudaGraphs, DimersReplay) {
    for (const nopt_dimer_scope scope : kScopes) {
        const auto run = [&](nopt_backend backend, std::vector<nopt_dimer_status>& statuses) {
            const OnBackend on(backend);
            DimerModel model("dualadam", kCounts, scope, 0, 5);
            model.unbind(NOPT_ROLE_GRAD_BACKUP);  // both gradients stay where they are
            nopt_dimer_options o = dimer_defaults();
            o.force = NOPT_DIMER_FORCE_PER_DISPLACEMENT;
            const nopt_hyperparams h = hyperparams_of("dualadam");
            const auto update = [&] {
                NOPT_EXPECT_OK(nopt_dimer_displace(model.dimer, &o, model.stream));
                NOPT_EXPECT_OK(nopt_dimer_step(model.dimer, &o, &h, model.stream));
                return NOPT_OK;
            };
            const auto step = [&] { return nopt_dimer_step(model.dimer, &o, &h, model.stream); };
            std::unique_ptr<Stream> stream;
            std::unique_ptr<Graph> update_graph, step_graph;
            if (backend == NOPT_BACKEND_CUDA) {
                model.synchronize();
                stream = std::make_unique<Stream>();
                model.stream = *stream;
                NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, model.stream));
                NOPT_EXPECT_OK(nopt_optimizer_upload(model.optimizer, model.stream));
                update_graph = std::make_unique<Graph>(stream->cuda(), [&] { update(); });
                step_graph = std::make_unique<Graph>(stream->cuda(), [&] { NOPT_EXPECT_OK(step()); });
            }
            for (int i = 0; i < kSteps; ++i) {
                model.new_gradients();
                Random random(static_cast<uint64_t>(i));
                model.buffer(NOPT_ROLE_GRAD_DISPLACED).fill(random);
                NOPT_EXPECT_OK(model.work([&] {
                    return i % 2 == 0 ? (update_graph != nullptr ? update_graph->replay() : update())
                                      : (step_graph != nullptr ? step_graph->replay() : step());
                }));
            }
            statuses = model.statuses();
            const std::vector<float> values = model.all_values();
            EXPECT_EQ(kSteps, model.state().step);
            return values;
        };
        std::vector<nopt_dimer_status> cpu, cuda;
        const std::vector<float> values = run(NOPT_BACKEND_CPU, cpu);
        EXPECT_TRUE(same_bits(values, run(NOPT_BACKEND_CUDA, cuda))) << scope;
        EXPECT_TRUE(same_bits(cpu, cuda)) << scope;
    }
}

// ... with clipping and a loss scale that changes between replays, and gradients now and then that skip one.
TEST(CudaGraphs, DimersReplayWithOptionsOfTheGradients) {
    for (const nopt_dimer_scope scope : kScopes) {
        for (const nopt_dimer_angle angle : kAngles) {
            const auto run = [&](nopt_backend backend, std::vector<nopt_dimer_status>& statuses,
                                 nopt_grad_status& status) {
                const OnBackend on(backend);
                DimerModel model("adam", kCounts, scope, 0, 5);
                nopt_dimer_options o = dimer_defaults();
                o.angle = angle;
                const nopt_hyperparams h = hyperparams_of("adam");
                std::unique_ptr<Stream> stream;
                std::vector<std::unique_ptr<Graph>> graphs;
                if (backend == NOPT_BACKEND_CUDA) {
                    model.synchronize();
                    stream = std::make_unique<Stream>();
                    model.stream = *stream;
                }
                NOPT_EXPECT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, model.stream));
                const nopt_grad_options options = grad_options(0.5, 0.01, NOPT_LOSS_SCALE_ON_DEVICE, true);
                NOPT_EXPECT_OK(nopt_optimizer_set_grad_options(model.optimizer, &options));
                NOPT_EXPECT_OK(nopt_optimizer_set_loss_scale(model.optimizer, 77.0, model.stream));
                NOPT_EXPECT_OK(nopt_optimizer_upload(model.optimizer, model.stream));
                // The calls of an update, each a graph of its own, since the test makes the gradients in between; the
                // last is that of a step without an update.
                std::vector<std::function<nopt_status()>> calls = {
                    [&] { return nopt_dimer_displace(model.dimer, &o, model.stream); },
                    [&] { return nopt_dimer_rotate(model.dimer, &o, &h, model.stream); },
                    [&] { return nopt_dimer_step(model.dimer, &o, &h, model.stream); },
                    [&] { return nopt_dimer_step(model.dimer, &o, &h, model.stream); }};
                for (size_t i = 0; backend == NOPT_BACKEND_CUDA && i < calls.size(); ++i) {
                    graphs.push_back(std::make_unique<Graph>(stream->cuda(), [&] { NOPT_EXPECT_OK(calls[i]()); }));
                }
                const auto call = [&](size_t i) {
                    NOPT_EXPECT_OK(model.work([&] { return graphs.empty() ? calls[i]() : graphs[i]->replay(); }));
                };
                for (int step = 0; step < kSteps; ++step) {
                    NOPT_EXPECT_OK(nopt_optimizer_set_loss_scale(model.optimizer, 1.5 * (step + 1), model.stream));
                    model.new_gradients();
                    for (size_t i = step % 2 == 0 ? 0 : 3; i < (step % 2 == 0 ? 3 : 4); ++i) {
                        if ((step == 2 && i == 2) || (step == 3 && i == 3)) {
                            model.buffer(NOPT_ROLE_GRAD).tensor(3)[16384] = NAN;
                        }
                        call(i);
                        model.new_gradients();
                    }
                }
                statuses = model.statuses();
                EXPECT_EQ(kSteps - 2, model.state().step);
                status = status_of(model.optimizer, model.stream);
                EXPECT_EQ(2, status.skipped_steps);
                return model.all_values();
            };
            std::vector<nopt_dimer_status> cpu, cuda;
            nopt_grad_status cpu_grads = {}, cuda_grads = {};
            const std::vector<float> values = run(NOPT_BACKEND_CPU, cpu, cpu_grads);
            EXPECT_TRUE(same_bits(values, run(NOPT_BACKEND_CUDA, cuda, cuda_grads))) << scope << angle;
            EXPECT_TRUE(same_bits(cpu, cuda)) << scope << angle;
            EXPECT_EQ(0, memcmp(&cpu_grads, &cuda_grads, sizeof cpu_grads)) << scope << angle;
            EXPECT_LT(cuda_grads.clip_coefficient, 1.0);
        }
    }
}

TEST(CudaGraphs, WhatCannotBeCapturedIsRefused) {
    Stream stream;
    Model model("adam", kCounts);
    model.stream = stream;
    const nopt_hyperparams h = defaults("adam");
    NOPT_ASSERT_OK(model.step(h));
    const auto refused = [&](const char* remedy) {
        EXPECT_EQ(NOPT_ERROR_INVALID_STATE, nopt_optimizer_step(model.optimizer, &h, stream));
        EXPECT_NE(nullptr, strstr(nopt_last_error_message(), remedy)) << nopt_last_error_message();
    };
    Graph by_the_host(stream.cuda(), [&] { refused("nopt_optimizer_set_capturable"); });
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, stream));
    NOPT_ASSERT_OK(nopt_param_set_set_lr_scale(model.set, model.tensor_count(), nullptr));
    Graph with_old_tables(stream.cuda(), [&] { refused("nopt_optimizer_upload"); });
    // Nothing was captured.
    const std::vector<float> before = model.all_values();
    NOPT_ASSERT_OK(model.work([&] { return by_the_host.replay(); }));
    NOPT_ASSERT_OK(model.work([&] { return with_old_tables.replay(); }));
    EXPECT_TRUE(same_bits(before, model.all_values()));
    EXPECT_EQ(1, model.state().step);
}

TEST(CudaGraphs, ArgumentsAreChecked) {
    Model model("adam", {1});
    nopt_hyperparams h = defaults("adam");
    lr(h) = NOPT_LR_ON_DEVICE;
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, model.step(h));
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, nopt_optimizer_set_lr(model.optimizer, 1e-3, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_capturable(model.optimizer, 2, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_capturable(nullptr, 1, nullptr));
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model.optimizer, 1, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_STATE, model.step(h));  // none was set
    for (const double lr : {-1.0, -1e-3, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
        EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_lr(model.optimizer, lr, nullptr)) << lr;
    }
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_set_lr(nullptr, 1e-3, nullptr));
    EXPECT_EQ(NOPT_ERROR_INVALID_ARGUMENT, nopt_optimizer_upload(nullptr, nullptr));
    NOPT_ASSERT_OK(nopt_optimizer_set_lr(model.optimizer, 1e-3, nullptr));
    NOPT_EXPECT_OK(model.step(h));
    model.synchronize();
    EXPECT_EQ(1, model.state().step);
}

// More groups than a launch carries: a graph has the inputs of its capture, whatever steps and other graphs bring
// between two replays.
TEST(CudaGraphOfGroups, ReplaysHaveTheInputsOfTheirCapture) {
    constexpr int32_t kGroups = 70;
    const std::vector<int64_t> counts(90, 11);
    std::vector<int32_t> groups;
    for (size_t t = 0; t < counts.size(); ++t) {
        groups.push_back(static_cast<int32_t>(t) * 3 % kGroups);
    }
    std::vector<nopt_hyperparams> h[3];
    for (int kind = 0; kind < 3; ++kind) {
        h[kind].assign(kGroups, defaults("adam"));
        for (int32_t g = 0; g < kGroups; ++g) {
            lr(h[kind][static_cast<size_t>(g)]) = 1e-3 * (1 + g) * (1 + kind);
        }
    }
    constexpr int kOrder[] = {0, 1, 2, 2, 0, 2, 1, 0, 0, 2};
    const auto model_on = [&](nopt_backend backend) {
        const OnBackend on(backend);
        auto model = std::make_unique<Model>("adam", counts);
        NOPT_EXPECT_OK(nopt_param_set_set_groups(model->set, model->tensor_count(), groups.data()));
        NOPT_EXPECT_OK(nopt_optimizer_set_group_count(model->optimizer, kGroups));
        return model;
    };
    const std::unique_ptr<Model> eager = model_on(NOPT_BACKEND_CPU);
    for (const int kind : kOrder) {
        eager->new_gradients();
        NOPT_ASSERT_OK(eager->step(h[kind][0]));
    }
    Stream stream;
    const std::unique_ptr<Model> model = model_on(NOPT_BACKEND_CUDA);
    model->stream = stream;
    NOPT_ASSERT_OK(nopt_optimizer_set_capturable(model->optimizer, 1, stream));
    NOPT_ASSERT_OK(nopt_optimizer_upload(model->optimizer, stream));
    const Graph first(stream.cuda(), [&] { NOPT_EXPECT_OK(nopt_optimizer_step(model->optimizer, &h[0][0], stream)); });
    const Graph second(stream.cuda(), [&] { NOPT_EXPECT_OK(nopt_optimizer_step(model->optimizer, &h[1][0], stream)); });
    for (const int kind : kOrder) {
        model->new_gradients();
        NOPT_ASSERT_OK(kind == 2 ? model->step(h[2][0])
                                 : model->work([&] { return (kind == 0 ? first : second).replay(); }));
    }
    model->synchronize();
    EXPECT_TRUE(same_bits(eager->all_values(), model->all_values()));
    for (int32_t g = 0; g < kGroups; ++g) {
        EXPECT_TRUE(same_state(eager->state(g), model->state(g))) << g;
    }
}

// The example of docs/cuda.md, which stands here line by line: what it replays are the steps that the host would take.
TEST(CudaGraphs, TheExampleOfTheDocumentation) {
    const auto schedule = lr_of;
    const auto run = [&](bool captured) {
        const Stream owner;
        cudaStream_t stream = owner.cuda();
        Model model("adam", kCounts);
        model.stream = stream;
        model.new_gradients();
        nopt_optimizer* optimizer = model.optimizer;
        nopt_hyperparams hyperparams = defaults("adam");
        if (!captured) {
            for (int step = 0; step < kSteps; ++step) {
                lr(hyperparams) = schedule(step);
                NOPT_EXPECT_OK(model.step(hyperparams));
            }
            model.synchronize();
            return model.all_values();
        }
        const int step_count = kSteps;
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t exec = nullptr;
        NOPT_EXPECT_OK(model.work([&] {
            nopt_optimizer_set_capturable(optimizer, 1, stream);
            nopt_optimizer_set_lr(optimizer, 1e-3, stream);
            hyperparams.values[NOPT_HYPERPARAM_LR] = NOPT_LR_ON_DEVICE;
            nopt_optimizer_upload(optimizer, stream); /* a capture cannot upload */

            cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
            nopt_optimizer_step(optimizer, &hyperparams, stream);
            cudaStreamEndCapture(stream, &graph);
            cudaGraphInstantiateWithFlags(&exec, graph, 0);

            for (int step = 0; step < step_count; ++step) {
                nopt_optimizer_set_lr(optimizer, schedule(step), stream);
                cudaGraphLaunch(exec, stream);
            }
            return NOPT_OK;
        }));
        model.synchronize();
        EXPECT_EQ(cudaSuccess, cudaGraphExecDestroy(exec));
        EXPECT_EQ(cudaSuccess, cudaGraphDestroy(graph));
        return model.all_values();
    };
    EXPECT_TRUE(same_bits(run(false), run(true)));
}

}  // namespace
}  // namespace nopt_test
