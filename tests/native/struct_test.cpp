// Structs that grow: callers of an older and of a newer version than the library's own.
#include "api/api.h"

#include <gtest/gtest.h>

// As ABI version 1 might have had it, as the library has it, and as a later one might.
struct Original {
    uint32_t struct_size;
    uint32_t flags;
    double lr;
};
struct Grown {
    uint32_t struct_size;
    uint32_t flags;
    double lr;
    double appended;
};
struct Later {
    Grown base;
    double unknown;
};

namespace nopt {
template <>
constexpr size_t kOriginalSize<Grown> = sizeof(Original);
}

namespace nopt_test {
namespace {

const Grown* as_grown(const void* caller) { return static_cast<const Grown*>(caller); }

TEST(Struct, AnOlderCallersMissingFieldsAreZero) {
    // What follows the caller's struct is not read.
    const struct {
        Original own;
        double behind;
    } caller = {{sizeof(Original), 5, 0.25}, 77.0};
    const Grown got = nopt::read_struct(as_grown(&caller), "caller");
    EXPECT_EQ(sizeof(Grown), got.struct_size);
    EXPECT_EQ(5u, got.flags);
    EXPECT_EQ(0.25, got.lr);
    EXPECT_EQ(0.0, got.appended);
}

TEST(Struct, AnOlderCallersMemoryIsNotWrittenPastItsEnd) {
    struct {
        Original own;
        double behind;
    } caller = {{sizeof(Original), 0, 0.0}, 77.0};
    nopt::write_struct(reinterpret_cast<Grown*>(&caller), Grown{0, 5, 0.25, 3.0}, "caller");
    EXPECT_EQ(sizeof(Original), caller.own.struct_size);
    EXPECT_EQ(5u, caller.own.flags);
    EXPECT_EQ(0.25, caller.own.lr);
    EXPECT_EQ(77.0, caller.behind);
}

TEST(Struct, ANewerCallersUnknownFieldsMustBeZero) {
    Later caller = {{sizeof(Later), 5, 0.25, 0.5}, 0.0};
    EXPECT_EQ(0.5, nopt::read_struct(as_grown(&caller), "caller").appended);
    caller.unknown = 1.0;
    EXPECT_THROW(nopt::read_struct(as_grown(&caller), "caller"), nopt::Error);
    nopt::write_struct(&caller.base, Grown{0, 6, 0.5, 3.0}, "caller");
    EXPECT_EQ(sizeof(Later), caller.base.struct_size);
    EXPECT_EQ(3.0, caller.base.appended);
    EXPECT_EQ(0.0, caller.unknown);
}

TEST(Struct, TooSmallIsRefused) {
    const Original caller = {sizeof(Original) - 1, 0, 0.0};
    EXPECT_THROW(nopt::read_struct(as_grown(&caller), "caller"), nopt::Error);
    EXPECT_THROW(nopt::read_struct(static_cast<const Grown*>(nullptr), "caller"), nopt::Error);
}

}  // namespace
}  // namespace nopt_test
