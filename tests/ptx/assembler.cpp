// Statements to instructions: operands to registers and constants, labels to places, names to operations.
#include <ctype.h>
#include <stdlib.h>

#include <algorithm>

#include "program.h"

namespace ptx {
namespace {

const Operations& operations() {
    static const Operations kAll = [] {
        Operations all;
        add_arithmetic(all);
        add_conversions(all);
        add_transfers(all);
        add_control(all);
        return all;
    }();
    return kAll;
}

size_t rounded_up(size_t value, size_t alignment) { return (value + alignment - 1) / alignment * alignment; }

// What a name in an operand stands for.
struct Symbol {
    Space space;
    uint64_t value;  // an address, or an offset into the parameters
};

class Assembler {
public:
    Assembler(const Entry& entry, Kernel& kernel, std::unordered_map<std::string, Symbol> symbols)
        : entry_(entry), kernel_(kernel), symbols_(std::move(symbols)) {}

    void assemble() {
        for (const Statement& statement : entry_.body) {
            statement_ = &statement;
            Instruction i;
            i.line = statement.line;
            kernel_.texts.push_back(statement.text);
            i.text = &kernel_.texts.back();
            i.guard = statement.guard;
            i.negated = statement.negated;
            fill(i);
            kernel_.code.push_back(i);
        }
    }

private:
    void fill(Instruction& i) {
        const std::string& name = statement_->operation;
        if (name.compare(0, 3, "ld.") == 0 || name.compare(0, 3, "st.") == 0) {
            fill_transfer(i);
        } else if (name.compare(0, 4, "mov.") == 0) {
            fill_move(i);
        } else if (name.compare(0, 3, "bra") == 0) {
            i.run = operation(name);
            const auto label = entry_.labels.find(operand(0));
            if (label == entry_.labels.end()) {
                fail("no such label");
            }
            i.offset = static_cast<int64_t>(label->second);
        } else if (name == "bar.sync" || name == "barrier.sync") {
            i.run = operation(name);
            if (statement_->operands.size() != 1 || operand(0) != "0") {
                fail("only barrier 0 of all threads is modelled");
            }
        } else if (name == "bar.warp.sync") {
            i.run = operation(name);
            i.from[0] = source(operand(0));
        } else {
            fill_plain(i);
        }
    }

    // "d, a, b, c"; shuffles have "d|p".
    void fill_plain(Instruction& i) {
        const std::vector<std::string>& operands = statement_->operands;
        i.run = operation(statement_->operation);
        i.selects = statement_->operation.compare(0, 5, "selp.") == 0;
        if (operands.empty()) {
            return;
        }
        const size_t bar = operands[0].find('|');
        i.to[0] = destination(operands[0].substr(0, bar));
        if (bar != std::string::npos) {
            i.to[1] = destination(operands[0].substr(bar + 1));
        }
        if (operands.size() > 5) {
            fail("too many operands");
        }
        for (size_t n = 1; n < operands.size(); ++n) {
            i.from[n - 1] = source(operands[n]);
        }
    }

    // Of registers in parts, "{a, b}", of addresses, of special registers, of values.
    void fill_move(Instruction& i) {
        const std::string type = statement_->operation.substr(3);  // with its dot
        const bool unpacks = operand(0)[0] == '{';
        if (unpacks || operand(1)[0] == '{') {
            const std::vector<std::string> parts = parts_of(operand(unpacks ? 0 : 1));
            i.run = operation((unpacks ? "unpack" : "pack") + std::to_string(parts.size()) + type);
            for (size_t n = 0; n < parts.size(); ++n) {
                (unpacks ? i.to : i.from)[n] = unpacks ? destination(parts[n]) : source(parts[n]);
            }
            (unpacks ? i.from : i.to)[0] = unpacks ? source(operand(1)) : destination(operand(0));
            return;
        }
        i.to[0] = destination(operand(0));
        const auto symbol = symbols_.find(operand(1));
        if (symbol != symbols_.end() && symbol->second.space == Space::kParam) {
            i.run = operation("mov.param");
            i.offset = static_cast<int64_t>(symbol->second.value);
            return;
        }
        const bool is_special = operand(1)[0] == '%' && !is_register(operand(1));
        i.run = operation(is_special ? "mov." + operand(1) : statement_->operation);
        if (!is_special) {
            i.from[0] = symbol != symbols_.end() ? constant(symbol->second.value) : source(operand(1));
        }
    }

    // "ld.global.v2.f32 {a, b}, [address]" and "st... [address], value".
    void fill_transfer(Instruction& i) {
        const std::string& name = statement_->operation;
        const bool loads = name[0] == 'l';
        std::string type;
        for (size_t begin = 3; begin <= name.size();) {
            const size_t end = std::min(name.find('.', begin), name.size());
            type = name.substr(begin, end - begin);
            begin = end + 1;
            if (type == "global") {
                i.space = Space::kGlobal;
            } else if (type == "shared") {
                i.space = Space::kShared;
            } else if (type == "param") {
                i.space = Space::kParam;
            } else if (type == "local" || type == "const") {
                fail("memory of this kind is not modelled");
            } else if (type == "v2" || type == "v4") {
                i.count = type[1] - '0';
            }
        }
        i.run = operation(name.substr(0, 3) + type);
        const std::string& value = operand(loads ? 0 : 1);
        const std::vector<std::string> values = i.count > 1 ? parts_of(value) : std::vector<std::string>{value};
        for (size_t n = 0; n < values.size(); ++n) {
            (loads ? i.to : i.from)[n] = loads ? destination(values[n]) : source(values[n]);
        }
        fill_address(i, operand(loads ? 1 : 0));
    }

    // "[name+offset]".
    void fill_address(Instruction& i, const std::string& address) {
        const size_t plus = address.find('+');
        const std::string base = address.substr(1, std::min(plus, address.size() - 1) - 1);
        i.offset = plus == std::string::npos ? 0 : strtoll(address.c_str() + plus + 1, nullptr, 0);
        const auto symbol = symbols_.find(base);
        if (symbol == symbols_.end()) {
            i.base = source(base);
        } else if (symbol->second.space == Space::kParam) {
            i.base_space = Space::kParam;
            i.offset += static_cast<int64_t>(symbol->second.value);
        } else {
            i.base = constant(symbol->second.value);
        }
    }

    const std::string& operand(size_t n) const {
        if (n >= statement_->operands.size()) {
            fail("an operand is missing");
        }
        return statement_->operands[n];
    }

    static bool is_register(const std::string& text) {
        return text[0] == '%' && isdigit(static_cast<unsigned char>(text[1])) != 0;
    }

    int destination(const std::string& text) const {
        if (text == "_") {
            return kNothing;
        }
        if (!is_register(text)) {
            fail(text + " is no register");
        }
        return atoi(text.c_str() + 1);
    }

    // A register or a constant; floats are "0f" or "0d" and their bits in hexadecimal digits.
    int source(const std::string& text) {
        if (is_register(text)) {
            return destination(text);
        }
        const bool is_float = text[0] == '0' && text.size() > 2 && (text[1] == 'f' || text[1] == 'd');
        char* end = nullptr;
        uint64_t value;
        if (is_float) {
            value = strtoull(text.c_str() + 2, &end, 16);
        } else if (text[0] == '-') {
            value = static_cast<uint64_t>(strtoll(text.c_str(), &end, 0));
        } else {
            value = strtoull(text.c_str(), &end, 0);
        }
        if (end == text.c_str() || *end != '\0') {
            fail(text + " is no operand that is modelled");
        }
        return constant(value);
    }

    int constant(uint64_t value) {
        kernel_.constants.push_back(value);
        return ~static_cast<int>(kernel_.constants.size() - 1);
    }

    // Of "{a, b}".
    static std::vector<std::string> parts_of(const std::string& text) {
        std::vector<std::string> parts;
        for (size_t begin = 1; begin < text.size();) {
            const size_t end = text.find_first_of(",}", begin);
            const size_t first = text.find_first_not_of(' ', begin);
            parts.push_back(text.substr(first, text.find_first_of(" ,}", first) - first));
            begin = end + 1;
        }
        return parts;
    }

    Operation operation(const std::string& name) const {
        const auto found = operations().find(name);
        if (found == operations().end()) {
            fail("the operation is not modelled");
        }
        return found->second;
    }

    [[noreturn]] void fail(const std::string& why) const {
        give_up("line " + std::to_string(statement_->line) + ", " + statement_->text + ": " + why);
    }

    const Entry& entry_;
    Kernel& kernel_;
    const std::unordered_map<std::string, Symbol> symbols_;
    const Statement* statement_ = nullptr;
};

}  // namespace

Kernel assemble(const Entry& entry, const std::vector<Variable>& module_variables,
                const std::unordered_map<std::string, uint64_t>& addresses) {
    Kernel kernel;
    kernel.name = entry.name;
    kernel.max_threads = entry.max_threads;
    kernel.parameters = entry.parameters;
    kernel.registers = entry.registers;
    std::unordered_map<std::string, Symbol> symbols;
    for (const Variable& parameter : entry.parameters) {
        kernel.parameter_offsets.push_back(rounded_up(kernel.parameter_bytes, parameter.alignment));
        kernel.parameter_bytes = kernel.parameter_offsets.back() + parameter.bytes;
        symbols[parameter.name] = {Space::kParam, kernel.parameter_offsets.back()};
    }
    const auto add_shared = [&](const Variable& variable) {
        const size_t offset = rounded_up(kernel.shared_bytes, variable.alignment);
        kernel.shared_bytes = offset + variable.bytes;
        symbols[variable.name] = {Space::kShared, kSharedWindow + offset};
    };
    for (const Variable& variable : module_variables) {
        if (variable.space == Space::kShared) {
            add_shared(variable);
        } else {
            symbols[variable.name] = {variable.space, addresses.at(variable.name)};
        }
    }
    for (const Variable& variable : entry.shared) {
        add_shared(variable);
    }
    Assembler(entry, kernel, std::move(symbols)).assemble();
    return kernel;
}

}  // namespace ptx
