// Numbers that know what float may have made of them.
#pragma once

#include <math.h>

namespace nopt_test {

inline constexpr double kHalfUlp = 0x1p-24;  // the most that rounding to float changes, relative to the number

// A number as double has it, with a bound on how far the same operations in float may lead from it, to first order:
// each operation adds half an ulp of its result to what it makes of its operands' errors. Constants are exact.
class Rounded {
public:
    Rounded(double exact = 0.0) : value_(exact), error_(0.0) {}
    Rounded(double value, double error) : value_(value), error_(error) {}

    double value() const { return value_; }
    double error() const { return error_; }

    friend Rounded operator-(const Rounded& a) { return {-a.value_, a.error_}; }
    friend Rounded operator+(const Rounded& a, const Rounded& b) {
        return rounded(a.value_ + b.value_, a.error_ + b.error_);
    }
    friend Rounded operator-(const Rounded& a, const Rounded& b) { return a + -b; }
    friend Rounded operator*(const Rounded& a, const Rounded& b) {
        return rounded(a.value_ * b.value_, fabs(a.value_) * b.error_ + a.error_ * fabs(b.value_));
    }
    friend Rounded operator/(const Rounded& a, const Rounded& b) {
        const double value = a.value_ / b.value_;
        return rounded(value, (a.error_ + fabs(value) * b.error_) / fabs(b.value_));
    }
    friend bool operator<(const Rounded& a, const Rounded& b) { return a.value_ < b.value_; }

    friend Rounded sqrt(const Rounded& a) {
        const double value = ::sqrt(a.value_);
        return rounded(value, a.value_ > 0.0 ? a.error_ / (2.0 * value) : ::sqrt(a.error_));
    }
    // These round nothing.
    friend Rounded fabs(const Rounded& a) { return {::fabs(a.value_), a.error_}; }
    friend Rounded fmax(const Rounded& a, const Rounded& b) {
        const Rounded& larger = a < b ? b : a;
        const bool is_certain = ::fabs(a.value_ - b.value_) > a.error_ + b.error_;
        return {larger.value_, is_certain ? larger.error_ : ::fmax(a.error_, b.error_)};
    }
    friend Rounded fmin(const Rounded& a, const Rounded& b) { return -fmax(-a, -b); }
    friend Rounded sign(const Rounded& a) {
        const double value = a.value_ > 0.0 ? 1.0 : a.value_ < 0.0 ? -1.0 : 0.0;
        return {value, ::fabs(a.value_) > a.error_ || a.error_ == 0.0 ? 0.0 : 2.0};
    }

private:
    static double fabs(double x) { return ::fabs(x); }
    static Rounded rounded(double value, double error) { return {value, error + kHalfUlp * ::fabs(value)}; }

    double value_;
    double error_;
};

inline double sign(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0; }

// What is computed in double and rounded to float once, before its use.
template <class Number>
Number scalar(double x);
template <>
inline double scalar<double>(double x) {
    return x;
}
template <>
inline Rounded scalar<Rounded>(double x) {
    return {x, fabs(x - static_cast<double>(static_cast<float>(x)))};
}

}  // namespace nopt_test
