// The interpreter reports what it is there for, and nothing else: programs of a few instructions, right and wrong.
#include <gtest/gtest.h>
#include <math.h>

#include "memory.h"
#include "program.h"
#include "report.h"

namespace ptx {
namespace {

constexpr unsigned kThreads = 64;  // two warps
constexpr size_t kWords = 128;

// A kernel whose threads have the words' address in %rd1, that of their own word in %rd2, and their number in %r1.
std::string program_of(const std::string& body) {
    return R"(
.visible .entry kernel(
	.param .u64 kernel_param_0
)
{
	.reg .pred 	%p<4>;
	.reg .b16 	%rs<4>;
	.reg .f32 	%f<4>;
	.reg .b32 	%r<8>;
	.reg .b64 	%rd<8>;
	.shared .align 8 .b8 shared[64];

	ld.param.u64 	%rd1, [kernel_param_0];
	mov.u32 	%r1, %tid.x;
	mul.wide.u32 	%rd2, %r1, 4;
	add.s64 	%rd2, %rd1, %rd2;
)" + body + R"(
	ret;

}
)";
}

// Words of device memory: the first half is written, the second is not.
class Interpreter : public testing::Test {
protected:
    Interpreter() : words_(kWords) {
        add_memory(words_.data(), kWords * 4, false);
        written_by_the_host(words_.data(), kWords * 2);
    }
    ~Interpreter() override { remove_memory(words_.data()); }

    // Runs the body, and returns what was reported for the first time.
    std::string reports_of(const std::string& body, unsigned blocks = 1) {
        const std::map<std::string, uint64_t> before = reports();
        const Module module(program_of(body));
        Kernel kernel = assemble(module.entry("kernel"), module.variables(), {});
        kernel.name = testing::UnitTest::GetInstance()->current_test_info()->name() + std::to_string(++run_);
        const void* const address = words_.data();
        std::vector<unsigned char> parameters(sizeof address);
        memcpy(parameters.data(), &address, sizeof address);
        run(kernel, blocks, kThreads, parameters);
        std::string result;
        for (const auto& place : reports()) {
            result += before.count(place.first) == 0 ? place.first + "\n" : "";
        }
        return result;
    }

    // What the first thread stores of such a computation to %r2.
    uint32_t result_of(const std::string& computation) {
        EXPECT_EQ("", reports_of(computation + "st.global.u32 [%rd2], %r2;")) << computation;
        return words_[0];
    }

    void expect(const char* report, const std::string& body, unsigned blocks = 1) {
        EXPECT_NE(std::string::npos, reports_of(body, blocks).find(report)) << body;
    }

    std::vector<uint32_t> words_;

private:
    int run_ = 0;
};

TEST_F(Interpreter, RunsWhatIsRight) {
    EXPECT_EQ("", reports_of("st.global.u32 [%rd2], %r1;"));
    for (unsigned i = 0; i < kThreads; ++i) {
        EXPECT_EQ(i, words_[i]);
    }
}

TEST_F(Interpreter, ReportsWrongAddresses) {
    expect("is misaligned", "ld.global.v2.u32 {%r2, %r3}, [%rd1+4];");
    expect("is out of bounds", "st.global.u32 [%rd2+512], %r1;");
    expect("is out of bounds", "mov.u64 %rd3, 0; ld.global.u32 %r2, [%rd3];");
    expect("is out of bounds", "mov.u32 %r2, shared; ld.shared.u32 %r3, [%r2+64];");
    expect("writes a parameter", "st.param.u64 [kernel_param_0], %rd1;");
}

TEST_F(Interpreter, ReportsRaces) {
    expect("races with another thread's write", "st.global.u32 [%rd1], %r1;");
    expect("races with another thread's write", "st.global.u32 [%rd2], %r1;", 2);  // of two blocks
    const std::string neighbour =
        "st.global.u32 [%rd2], %r1; SYNC xor.b32 %r2, %r1, DISTANCE; mul.wide.u32 %rd3, %r2, 4; "
        "add.s64 %rd3, %rd1, %rd3; ld.global.u32 %r3, [%rd3];";
    const auto with = [&](const std::string& sync, const std::string& distance) {
        std::string body = neighbour;
        body.replace(body.find("SYNC"), 4, sync);
        body.replace(body.find("DISTANCE"), 8, distance);
        return body;
    };
    EXPECT_NE("", reports_of(with("", "1")));
    EXPECT_EQ("", reports_of(with("bar.warp.sync -1;", "1")));
    EXPECT_NE("", reports_of(with("bar.warp.sync -1;", "32")));  // of another warp
    EXPECT_EQ("", reports_of(with("bar.sync 0;", "32")));
    EXPECT_NE("", reports_of(with("shfl.sync.bfly.b32 %r4|%p1, %r1, 1, 31, -1;", "1")));  // which orders no memory
    // A write over what others have read.
    expect("writes in a race with a read",
           "ld.global.u32 %r2, [%rd1]; setp.ne.s32 %p1, %r1, 0; @%p1 bra $L; st.global.u32 [%rd1], %r1; $L:");
}

TEST_F(Interpreter, ReportsUsesOfWhatNothingWrote) {
    const std::string load = "ld.global.u32 %r2, [%rd2+256]; ";
    EXPECT_EQ("", reports_of(load));
    expect("keeps what nothing had written", load + "add.s32 %r3, %r2, 1; st.global.u32 [%rd2], %r3;");
    expect("depends on what nothing had written", load + "setp.eq.s32 %p1, %r2, 0; @%p1 ret;");
    expect("has an address that nothing had written",
           load + "mul.wide.u32 %rd3, %r2, 0; add.s64 %rd3, %rd3, %rd2; ld.global.u32 %r3, [%rd3];");
    const std::string choice =
        load + "setp.ne.s32 %p1, %r1, 100; selp.b32 %r3, %r1, %r2, %p1; st.global.u32 [%rd2], %r3;";
    EXPECT_EQ("", reports_of(choice));
    expect("keeps", load +
                        "mov.u32 %r4, shared; st.shared.u32 [%r4], %r2; ld.shared.u32 %r3, [%r4]; "
                        "st.global.u32 [%rd2], %r3;");
}

TEST_F(Interpreter, ReportsBarriersThatNotAllReach) {
    expect("some threads have ended", "setp.lt.s32 %p1, %r1, 32; @%p1 ret; bar.sync 0;");
    expect("other threads are not at", "setp.lt.s32 %p1, %r1, 32; @%p1 bra $L; bar.sync 0; ret; $L: bar.sync 0;");
    expect("lane that is not there", "setp.eq.s32 %p1, %r1, 5; @%p1 ret; shfl.sync.bfly.b32 %r2|%p2, %r1, 1, 31, -1;");
    EXPECT_DEATH(reports_of("setp.lt.s32 %p1, %r1, 16; @%p1 bra $L; bar.warp.sync -1; $L: bar.sync 0;"), "is stuck");
}

TEST_F(Interpreter, Shuffles) {
    EXPECT_EQ("", reports_of("shfl.sync.bfly.b32 %r2|%p1, %r1, 3, 31, -1; st.global.u32 [%rd2], %r2;"));
    for (unsigned i = 0; i < kThreads; ++i) {
        EXPECT_EQ(i ^ 3u, words_[i]);
    }
    EXPECT_EQ("", reports_of("shfl.sync.down.b32 %r2|%p1, %r1, 1, 31, -1; st.global.u32 [%rd2], %r2;"));
    EXPECT_EQ(1u, words_[0]);
    EXPECT_EQ(31u, words_[31]);  // which has none below
}

TEST_F(Interpreter, FindsTheLargestOfAWarp) {
    EXPECT_EQ("", reports_of("redux.sync.max.u32 %r2, %r1, -1; st.global.u32 [%rd2], %r2;"));
    for (unsigned i = 0; i < kThreads; ++i) {
        EXPECT_EQ(i | 31u, words_[i]);
    }
    expect("keeps what nothing had written",
           "ld.global.u32 %r2, [%rd2+256]; redux.sync.max.u32 %r3, %r2, -1; st.global.u32 [%rd2], %r3;");
}

TEST_F(Interpreter, Computes) {
    const auto of_floats = [&](const std::string& computation) {
        return result_of(computation + " mov.b32 %r2, %f1; ");
    };
    EXPECT_EQ(0x7fffffffu, of_floats("mov.f32 %f2, 0fFFC00001; add.rn.f32 %f1, %f2, %f2;"));  // the one NaN
    EXPECT_EQ(0x00000000u, of_floats("mov.f32 %f2, 0f80000000; max.f32 %f1, %f2, 0f00000000;"));
    EXPECT_EQ(0x3f800000u, of_floats("mov.f32 %f2, 0f7FC00000; min.f32 %f1, %f2, 0f3F800000;"));
    EXPECT_EQ(0x7fffffffu, of_floats("mov.f32 %f2, 0f7FC00000; max.NaN.f32 %f1, %f2, 0f3F800000;"));
    EXPECT_EQ(0x40000000u, of_floats("mov.f32 %f2, 0f40000000; max.NaN.f32 %f1, %f2, 0f3F800000;"));
    EXPECT_EQ(0x00000001u, of_floats("mov.f32 %f2, 0f00000002; mul.rn.f32 %f1, %f2, 0f3F000000;"));  // not flushed
    EXPECT_EQ(0u, result_of("mov.u32 %r3, 32; shl.b32 %r2, %r1, %r3; add.s32 %r2, %r2, 0; shl.b32 %r2, 7, %r3; "));
    EXPECT_EQ(0x11223344u, result_of("mov.u32 %r3, 1144201745; prmt.b32 %r2, %r3, 0, 291; "));
    EXPECT_EQ(0x3f80u, result_of("mov.f32 %f2, 0f3F808000; cvt.rn.bf16.f32 %rs1, %f2; cvt.u32.u16 %r2, %rs1; "));
    EXPECT_EQ(0x3f82u, result_of("mov.f32 %f2, 0f3F818000; cvt.rn.bf16.f32 %rs1, %f2; cvt.u32.u16 %r2, %rs1; "));
    // The first operand comes to the upper half.
    EXPECT_EQ(0x3f824000u, result_of("mov.f32 %f2, 0f3F818000; mov.f32 %f3, 0f40000000; "
                                     "cvt.rn.bf16x2.f32 %r2, %f2, %f3; "));
    EXPECT_EQ(0x3c004000u, result_of("mov.f32 %f2, 0f3F800000; mov.f32 %f3, 0f40000000; "
                                     "cvt.rn.f16x2.f32 %r2, %f2, %f3; "));
    // float16: a tie to even, the smallest, the largest and beyond; and back.
    const auto to_float16 = [&](const std::string& value) {
        return result_of("mov.f32 %f2, " + value + "; cvt.rn.f16.f32 %rs1, %f2; cvt.u32.u16 %r2, %rs1; ");
    };
    EXPECT_EQ(0x3c02u, to_float16("0f3F803000"));
    EXPECT_EQ(0x8001u, to_float16("0fB3800000"));
    EXPECT_EQ(0x7bffu, to_float16("0f477FEFFF"));
    EXPECT_EQ(0x7c00u, to_float16("0f477FF000"));
    EXPECT_EQ(0x7fffu, to_float16("0f7F800001"));
    EXPECT_EQ(0xb3800000u, of_floats("mov.u16 %rs1, 32769; cvt.f32.f16 %f1, %rs1;"));
    EXPECT_EQ(0x477fe000u, of_floats("mov.u16 %rs1, 31743; cvt.f32.f16 %f1, %rs1;"));
    EXPECT_EQ(0x80000000u, result_of("mov.f32 %f2, 0fFF800000; cvt.rzi.s32.f32 %r2, %f2; "));
    EXPECT_EQ(0xfffffffeu, result_of("mov.u32 %r3, -7; div.s32 %r2, %r3, 3; "));
    EXPECT_DEATH(reports_of("sin.approx.f32 %f1, %f2;"), "not modelled");
}

}  // namespace
}  // namespace ptx
