// What the header declares, read from its text, so that no test has a list of it.
#pragma once

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>

namespace nopt_test {

inline std::string header_text() {
    std::ifstream file(NOPT_HEADER);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The public structs whose fields are known.
inline std::set<std::string> structs_of_header() {
    std::istringstream text(header_text());
    std::set<std::string> names;
    for (std::string line; std::getline(text, line);) {
        std::istringstream words(line);
        std::string first, second, name, brace;
        if (words >> first >> second >> name >> brace && first == "typedef" && second == "struct" && brace == "{") {
            names.insert(name);
        }
    }
    return names;
}

// The names and values of an enum.
inline std::map<std::string, int> enum_of_header(const std::string& name) {
    const std::string text = header_text();
    const size_t begin = text.find("typedef enum " + name + " ");
    std::istringstream body(text.substr(begin, text.find("} " + name + ";", begin) - begin));
    std::map<std::string, int> values;
    for (std::string line; std::getline(body, line);) {
        std::istringstream words(line);
        std::string constant, equals;
        int value = 0;
        if (words >> constant >> equals >> value && constant.rfind("NOPT_", 0) == 0 && equals == "=") {
            values[constant] = value;
        }
    }
    return values;
}

}  // namespace nopt_test
