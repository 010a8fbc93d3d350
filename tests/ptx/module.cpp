#include "module.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <sstream>
#include <utility>

namespace ptx {

void give_up(const std::string& why) {
    fprintf(stderr, "PTX: %s\n", why.c_str());
    abort();
}

namespace {

bool begins_with(const std::string& text, const char* start) { return text.compare(0, strlen(start), start) == 0; }

std::string trimmed(const std::string& text) {
    const size_t begin = text.find_first_not_of(" \t\r\n");
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

// The parts between commas that are outside of brackets.
std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::string part;
    int depth = 0;
    for (const char c : text) {
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c == ',' && depth == 0) {
            parts.push_back(trimmed(part));
            part.clear();
        } else {
            part += c;
        }
    }
    if (!trimmed(part).empty()) {
        parts.push_back(trimmed(part));
    }
    return parts;
}

std::vector<std::string> words_of(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) {
        words.push_back(word);
    }
    return words;
}

// Of a type's name: ".b8" has 1.
size_t bytes_of_type(const std::string& type) {
    const int bits = type.size() > 2 ? atoi(type.c_str() + 2) : 0;
    if (type[0] != '.' || bits % 8 != 0 || bits == 0) {
        give_up("a variable of type " + type + " is not modelled");
    }
    return static_cast<size_t>(bits) / 8;
}

// Of such as ".global .align 4 .b8 name[12] = {1, 2}".
Variable variable_of(const std::string& declaration) {
    const size_t equals = declaration.find('=');
    const std::vector<std::string> words = words_of(declaration.substr(0, equals));
    Variable variable = {"", Space::kGeneric, 1, 0, {}};
    size_t element = 0;
    for (size_t i = 0; i + 1 < words.size(); ++i) {
        const std::string& word = words[i];
        if (word == ".align") {
            variable.alignment = static_cast<size_t>(atoi(words[++i].c_str()));
        } else if (word == ".shared") {
            variable.space = Space::kShared;
        } else if (word == ".param") {
            variable.space = Space::kParam;
        } else if (word == ".global" || word == ".const") {
            variable.space = Space::kGlobal;  // constants are in memory that has no window of its own
        } else if (word != ".visible" && word != ".weak") {
            element = bytes_of_type(word);
        }
    }
    variable.name = words.back();
    const size_t bracket = variable.name.find('[');
    if (bracket != std::string::npos) {
        variable.bytes = static_cast<size_t>(atoi(variable.name.c_str() + bracket + 1));
        variable.name.resize(bracket);
    }
    variable.bytes *= element;
    variable.alignment = std::max(variable.alignment, element);
    if (equals != std::string::npos) {
        const std::string values = trimmed(declaration.substr(equals + 1));
        for (const std::string& value : split(values[0] == '{' ? values.substr(1, values.size() - 2) : values)) {
            char* end = nullptr;
            const long long number = strtoll(value.c_str(), &end, 0);
            if (*end != '\0') {
                give_up("the initial value " + value + " of " + variable.name + " is not modelled");
            }
            const uint8_t* const bytes = reinterpret_cast<const uint8_t*>(&number);
            variable.initial.insert(variable.initial.end(), bytes, bytes + element);
        }
        variable.initial.resize(variable.bytes);  // what is not named is 0
    }
    return variable;
}

// Reads the body of an entry: registers and variables, labels, and statements.
class BodyReader {
public:
    BodyReader(const std::string& text, size_t begin, Entry& entry)
        : text_(text),
          at_(begin),
          line_(1 + static_cast<int>(std::count(text.begin(), at(begin), '\n'))),
          entry_(entry) {}

    void read() {
        std::string pending;  // since the last statement
        do {
            const char c = text_[at_++];
            if (c == '\n') {
                ++line_;
            }
            if (c == '/' && text_[at_] == '/') {
                at_ = text_.find('\n', at_);
            } else if (c == '{' && trimmed(pending).empty()) {
                scopes_.push_back(scopes_.empty() ? Names() : scopes_.back());
            } else if (c == '}' && trimmed(pending).empty()) {
                scopes_.pop_back();
            } else if (c == ':' && words_of(pending).size() == 1) {
                entry_.labels[trimmed(pending)] = entry_.body.size();
                pending.clear();
            } else if (c == ';') {
                take(trimmed(pending));
                pending.clear();
            } else {
                pending += isspace(static_cast<unsigned char>(c)) != 0 ? ' ' : c;
            }
        } while (!scopes_.empty());
    }

private:
    using Names = std::map<std::string, int>;

    std::string::const_iterator at(size_t offset) const { return text_.begin() + static_cast<std::ptrdiff_t>(offset); }

    void take(const std::string& text) {
        if (begins_with(text, ".reg")) {
            declare(text.substr(text.find(' ', 5)));
        } else if (begins_with(text, ".shared")) {
            entry_.shared.push_back(variable_of(text));
        } else if (text[0] == '.') {
            if (!begins_with(text, ".pragma")) {
                give_up("line " + std::to_string(line_) + ", " + text + ", is not modelled");
            }
        } else if (!text.empty()) {
            entry_.body.push_back(statement_of(text));
        }
    }

    // Of " %r<12>" (twelve registers, %r0 to %r11), or of names.
    void declare(const std::string& names) {
        for (const std::string& name : split(names)) {
            const size_t bracket = name.find('<');
            if (bracket == std::string::npos) {
                scopes_.back()[name] = entry_.registers++;
                continue;
            }
            for (int i = 0, count = atoi(name.c_str() + bracket + 1); i < count; ++i) {
                scopes_.back()[name.substr(0, bracket) + std::to_string(i)] = entry_.registers++;
            }
        }
    }

    Statement statement_of(const std::string& text) const {
        Statement result;
        result.line = line_;
        result.text = text;
        std::string rest = text;
        if (rest[0] == '@') {
            result.negated = rest[1] == '!';
            const size_t begin = result.negated ? 2 : 1;
            const size_t end = rest.find(' ');
            result.guard = scopes_.back().at(rest.substr(begin, end - begin));
            rest = trimmed(rest.substr(end));
        }
        const size_t space = rest.find(' ');
        result.operation = rest.substr(0, space);
        if (space != std::string::npos) {
            result.operands = split(numbered(rest.substr(space)));
        }
        return result;
    }

    // With numbers in place of the names of registers.
    std::string numbered(const std::string& operands) const {
        const auto is_part = [](char c) { return isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.'; };
        std::string result;
        for (size_t i = 0; i < operands.size();) {
            if (operands[i] != '%') {
                result += operands[i++];
                continue;
            }
            size_t end = i + 1;
            while (end < operands.size() && is_part(operands[end])) {
                ++end;
            }
            const std::string name = operands.substr(i, end - i);
            const auto found = scopes_.back().find(name);
            result += found == scopes_.back().end() ? name : "%" + std::to_string(found->second);
            i = end;
        }
        return result;
    }

    const std::string& text_;
    size_t at_;
    int line_;
    Entry& entry_;
    std::vector<Names> scopes_;
};

}  // namespace

Module::Module(std::string text) : text_(std::move(text)) {
    for (size_t at = 0; at < text_.size();) {
        const size_t line_end = std::min(text_.find('\n', at), text_.size());
        const std::string line = text_.substr(at, std::min<size_t>(line_end - at, 4096));
        const size_t entry = line.find(".entry ");
        if (line[0] == '.' && entry != std::string::npos) {
            const std::string name = line.substr(entry + 7, line.find_first_of("( ", entry + 7) - entry - 7);
            if (!entries_.emplace(name, at).second) {
                give_up("there are two kernels of the name " + name);
            }
            at = text_.find("\n}", at) + 1;  // nvcc puts the brace that ends a kernel on a line of its own
        } else if (begins_with(line, ".shared ") || begins_with(line, ".global ") || begins_with(line, ".const ")) {
            add(variable_of(text_.substr(at, text_.find(';', at) - at)));
            at = text_.find(';', at);
        } else if (line[0] == '.' && line.find(".func") != std::string::npos) {
            give_up("functions are not modelled: " + line);
        }
        at = text_.find('\n', at);
        at = at == std::string::npos ? text_.size() : at + 1;
    }
}

// Each source that includes a function declares its variables, which are the same in all of them.
void Module::add(Variable variable) {
    const auto same_name = [&](const Variable& other) { return other.name == variable.name; };
    const auto found = std::find_if(variables_.begin(), variables_.end(), same_name);
    if (found == variables_.end()) {
        variables_.push_back(std::move(variable));
    } else if (found->space != variable.space || found->bytes != variable.bytes || found->initial != variable.initial) {
        give_up("there are two different variables of the name " + variable.name);
    }
}

std::vector<std::string> Module::entry_names() const {
    std::vector<std::string> names;
    for (const auto& entry : entries_) {
        names.push_back(entry.first);
    }
    return names;
}

Entry Module::entry(const std::string& name) const {
    Entry entry;
    entry.name = name;
    const size_t begin = entries_.at(name);
    const size_t body = text_.find('{', begin);
    const std::string head = text_.substr(begin, body - begin);
    const size_t open = head.find('(');
    if (open != std::string::npos) {
        for (const std::string& parameter : split(head.substr(open + 1, head.find(')') - open - 1))) {
            entry.parameters.push_back(variable_of(parameter));
        }
    }
    const size_t max_threads = head.find(".maxntid");
    if (max_threads != std::string::npos) {
        entry.max_threads = static_cast<unsigned>(atoi(head.c_str() + max_threads + 8));
    }
    BodyReader(text_, body, entry).read();
    return entry;
}

}  // namespace ptx
