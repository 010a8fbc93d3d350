// What the header declares, read from its text, so that no test has a list of it.
#pragma once

#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace nopt_test {

inline std::string header_text() {
    std::ifstream file(NOPT_HEADER);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The public structs whose fields are known.
inline std::set<std::string> structs_of_header() {
    const std::string text = header_text();
    const std::regex pattern("typedef struct (nopt_[a-z0-9_]+) \\{");
    std::set<std::string> names;
    for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at) {
        names.insert((*at)[1]);
    }
    return names;
}

// The names and values of an enum.
inline std::map<std::string, int> enum_of_header(const std::string& name) {
    const std::string text = header_text();
    const size_t begin = text.find("typedef enum " + name + " ");
    const std::string body = text.substr(begin, text.find("} " + name + ";", begin) - begin);
    const std::regex pattern("\n    (NOPT_[A-Z0-9_]+) = (-?[0-9]+)");
    std::map<std::string, int> values;
    for (std::sregex_iterator at(body.begin(), body.end(), pattern), end; at != end; ++at) {
        values[(*at)[1]] = std::stoi((*at)[2]);
    }
    return values;
}

}  // namespace nopt_test
