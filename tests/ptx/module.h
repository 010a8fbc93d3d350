// The text of PTX as data: variables, entries (kernels), and the statements of each. The PTX of several sources may
// follow each other in one text.
#pragma once

#include <stdint.h>

#include <map>
#include <string>
#include <vector>

namespace ptx {

// Where a variable lies, or what an access says about its address.
enum class Space {
    kGeneric,
    kGlobal,
    kShared,
    kParam
};

struct Variable {
    std::string name;
    Space space;
    size_t bytes;
    size_t alignment;
    std::vector<uint8_t> initial;  // empty: not initialised
};

// Registers have numbers here, "%17", as their names are only unique within braces.
struct Statement {
    int line;
    std::string text;  // as it is written, for reports
    int guard = -1;    // the register that decides whether the statement is executed; below 0: always
    bool negated = false;
    std::string operation;  // such as "add.rn.f32"
    std::vector<std::string> operands;
};

struct Entry {
    std::string name;
    unsigned max_threads = 1024;
    std::vector<Variable> parameters;
    std::vector<Variable> shared;
    int registers = 0;
    std::vector<Statement> body;
    std::map<std::string, size_t> labels;  // the statement that each is before
};

class Module {
public:
    explicit Module(std::string text);

    // Those of the module itself; kernels have shared ones of their own, too.
    const std::vector<Variable>& variables() const { return variables_; }
    std::vector<std::string> entry_names() const;
    bool has_entry(const std::string& name) const { return entries_.count(name) != 0; }
    Entry entry(const std::string& name) const;

private:
    void add(Variable variable);

    std::string text_;
    std::vector<Variable> variables_;
    std::map<std::string, size_t> entries_;  // where each begins in the text
};

// Ends the program: the PTX, or what is done with it, is beyond what is modelled.
[[noreturn]] void give_up(const std::string& why);

}  // namespace ptx
