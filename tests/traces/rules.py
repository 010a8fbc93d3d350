"""The update rules in float64, straight from their equations, with the traces that are made of them."""

import math

RULES = {}  # the class of each rule, by the rule's name in traces


class Rule:
    """An update rule over one tensor. A rule is a class below this one and nothing else: it names itself, its options
    with their values unless a trace says otherwise, and its traces with what they say."""

    NAMES = ()
    OPTIONS = {}
    TRACES = {}
    # What a trace gives beside the gradient: name -> (the steps that have it, the smallest value, the largest).
    INPUTS = {}

    def __init_subclass__(cls):
        RULES.update(dict.fromkeys(cls.NAMES, cls))

    def __init__(self, options, size):
        self.options = options
        self.states = {}  # by name; what a trace holds after the last step

    def step(self, t, theta, gradient, inputs):
        """Takes step t, counted from 1. `inputs` are those that are given in this step, by name."""
        raise NotImplementedError


def options_of(rule, **changes):
    return {"rule": rule, **RULES[rule].OPTIONS, **changes}


class Elements(Rule):
    """A rule whose states are those that STATES names, all of which start at zero, and which says in `element` what a step
    does with one element: `x` is the parameter, `g` the gradient with its sign and with L2, `s` the states by name. It
    returns the parameter, and writes the states. Decoupled decay has been applied."""

    STATES = ()

    def __init__(self, options, size):
        super().__init__(options, size)
        self.states = {name: [0.0] * size for name in self.state_names()}

    def state_names(self):
        return self.STATES

    def element(self, t, x, g, s):
        raise NotImplementedError

    def step(self, t, theta, gradient, inputs):
        o = self.options
        for i, g in enumerate(gradient):
            g = -g if o.get("maximize") else g
            x = theta[i]
            if o.get("decoupled"):
                x *= 1 - o["lr"] * o["weight_decay"]
            else:
                g += o["weight_decay"] * x
            s = {name: values[i] for name, values in self.states.items()}
            theta[i] = self.element(t, x, g, s)
            for name, values in self.states.items():
                values[i] = s[name]

    def moments(self, t, g, s):
        """Takes the moments of Adam on and returns both with their bias corrected."""
        beta1, beta2 = self.options["betas"][:2]
        s["exp_avg"] = beta1 * s["exp_avg"] + (1 - beta1) * g
        s["exp_avg_sq"] = beta2 * s["exp_avg_sq"] + (1 - beta2) * g * g
        return s["exp_avg"] / (1 - beta1**t), s["exp_avg_sq"] / (1 - beta2**t)


def sign(x):
    return (x > 0) - (x < 0)


class Adam(Rule):
    """Adam, AdamW, InvAdam and DualAdam. The update u of theta -= lr * u is a * inverse + (1 - a) * adam."""

    NAMES = ("adam", "adamw", "invadam", "dualadam")
    OPTIONS = {
        "lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "decoupled": False, "amsgrad": False,
        "maximize": False, "xi": 0.0, "inverse_eps": False,
    }
    # Where an option would otherwise vanish in the tolerance, its value is large enough to be seen.
    TRACES = {
        "adam": {"rule": "adam", "eps": 1e-3},
        "adam-l2-amsgrad": {"rule": "adam", "amsgrad": True, "weight_decay": 0.1, "betas": [0.8, 0.7]},
        "adamw-maximize": {
            "rule": "adamw", "maximize": True, "weight_decay": 0.1, "decoupled": True, "betas": [0.9, 0.95]},
        "invadam": {"rule": "invadam", "lr": 0.05, "betas": [0.8, 0.9]},
        # Adam from step 5 on.
        "dualadam": {"rule": "dualadam", "xi": 0.2, "weight_decay": 0.05, "decoupled": True},
        "dualadam-inverse-eps": {"rule": "dualadam", "xi": 0.06, "eps": 0.05, "inverse_eps": True},
        "dualadam-exponential": {"rule": "dualadam", "schedule": "exponential", "base": 0.5, "steps_per_epoch": 3},
        "dualadam-fixed": {"rule": "dualadam", "schedule": "fixed", "switch_step": 4},
        "dualadam-given": {"rule": "dualadam", "schedule": "given", "inverse_weight": 0.25},
    }

    def __init__(self, options, size):
        super().__init__(options, size)
        self.m = [0.0] * size
        self.v = [0.0] * size
        self.largest_v = [0.0] * size
        self.states = {"exp_avg": self.m, "exp_avg_sq": self.v}
        if options["amsgrad"]:
            self.states["max_exp_avg_sq"] = self.largest_v

    def inverse_weight(self, t):
        o = self.options
        schedule = o.get("schedule", "linear")
        if schedule == "exponential":
            return o["base"] ** ((t - 1) // o["steps_per_epoch"])
        if schedule == "fixed":
            return 1.0 if t <= o["switch_step"] else 0.0
        return o["inverse_weight"] if schedule == "given" else max(0.0, 1 - o["xi"] * t)

    def step(self, t, theta, gradient, inputs):
        o = self.options
        beta1, beta2 = o["betas"]
        a = {"adam": 0.0, "adamw": 0.0, "invadam": 1.0}.get(o["rule"])
        if a is None:
            a = self.inverse_weight(t)
        for i, g in enumerate(gradient):
            if o["maximize"]:
                g = -g
            if o["decoupled"]:
                theta[i] *= 1 - o["lr"] * o["weight_decay"]
            else:
                g += o["weight_decay"] * theta[i]
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * g * g
            self.largest_v[i] = max(self.largest_v[i], self.v[i])
            v = self.largest_v[i] if o["amsgrad"] else self.v[i]
            m_hat = self.m[i] / (1 - beta1**t)
            root = math.sqrt(v / (1 - beta2**t))
            inverse = m_hat * (root + o["eps"] if o["inverse_eps"] else root)
            theta[i] -= o["lr"] * (a * inverse + (1 - a) * m_hat / (root + o["eps"]))


class Adan(Rule):
    """Adan (arXiv 2208.06677), as the authors' code has it: with bias correction, and from zero states."""

    NAMES = ("adan",)
    OPTIONS = {"lr": 0.01, "weight_decay": 0.0, "betas": [0.9, 0.8, 0.95], "eps": 1e-3, "no_prox": False}
    TRACES = {
        "adan": {"rule": "adan"},
        "adan-prox": {"rule": "adan", "weight_decay": 0.5, "betas": [0.98, 0.92, 0.99], "eps": 1e-8},
        "adan-no-prox": {"rule": "adan", "weight_decay": 0.5, "no_prox": True},
    }

    def __init__(self, options, size):
        super().__init__(options, size)
        self.m = [0.0] * size
        self.v = [0.0] * size
        self.n = [0.0] * size
        self.last = [0.0] * size
        self.states = {"exp_avg": self.m, "exp_avg_diff": self.v, "exp_avg_sq": self.n, "pre_grad": self.last}

    def step(self, t, theta, gradient, inputs):
        o = self.options
        beta1, beta2, beta3 = o["betas"]
        for i, g in enumerate(gradient):
            difference = g - self.last[i] if t > 1 else 0.0
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * difference
            self.n[i] = beta3 * self.n[i] + (1 - beta3) * (g + beta2 * difference) ** 2
            self.last[i] = g
            m_hat, v_hat = self.m[i] / (1 - beta1**t), self.v[i] / (1 - beta2**t)
            update = (m_hat + beta2 * v_hat) / (math.sqrt(self.n[i] / (1 - beta3**t)) + o["eps"])
            if o["no_prox"]:
                theta[i] = theta[i] * (1 - o["lr"] * o["weight_decay"]) - o["lr"] * update
            else:
                theta[i] = (theta[i] - o["lr"] * update) / (1 + o["lr"] * o["weight_decay"])


class Sgd(Rule):
    """Stochastic gradient descent; with momentum, and with Nesterov's."""

    NAMES = ("sgd",)
    OPTIONS = {"lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    TRACES = {
        "sgd": {"rule": "sgd", "weight_decay": 0.01},
        "sgd-dampening": {"rule": "sgd", "momentum": 0.9, "dampening": 0.25},
        "sgd-momentum-nesterov": {"rule": "sgd", "momentum": 0.9, "nesterov": True},
    }

    def __init__(self, options, size):
        super().__init__(options, size)
        self.buffer = [0.0] * size
        if options["momentum"] > 0:
            self.states = {"momentum_buffer": self.buffer}

    def step(self, t, theta, gradient, inputs):
        o = self.options
        for i, g in enumerate(gradient):
            g += o["weight_decay"] * theta[i]
            weight = 1.0 if t == 1 else 1 - o.get("dampening", 0.0)
            self.buffer[i] = o["momentum"] * self.buffer[i] + weight * g
            theta[i] -= o["lr"] * (g + o["momentum"] * self.buffer[i] if o["nesterov"] else self.buffer[i])


class Sophia(Rule):
    """Sophia (arXiv 2305.14342, algorithm 3). Its decay is decoupled."""

    NAMES = ("sophia",)
    OPTIONS = {
        "lr": 0.01, "weight_decay": 0.1, "betas": [0.9, 0.7], "gamma": 1.0, "eps": 1e-12, "decoupled": True,
    }
    TRACES = {
        "sophia": {"rule": "sophia"},
        # eps is the denominator of many elements.
        "sophia-floor": {"rule": "sophia", "weight_decay": 0.0, "eps": 0.1},
    }
    # Some elements have a negative curvature.
    INPUTS = {"hessian": (range(1, 100, 3), -0.5, 1.5)}

    def __init__(self, options, size):
        super().__init__(options, size)
        self.m = [0.0] * size
        self.h = [0.0] * size
        self.states = {"exp_avg": self.m, "hessian": self.h}

    def step(self, t, theta, gradient, inputs):
        o = self.options
        beta1, beta2 = o["betas"]
        for i, g in enumerate(gradient):
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            if "hessian" in inputs:
                self.h[i] = beta2 * self.h[i] + (1 - beta2) * inputs["hessian"][i]
            theta[i] *= 1 - o["lr"] * o["weight_decay"]
            update = self.m[i] / max(o["gamma"] * self.h[i], o["eps"])
            theta[i] -= o["lr"] * min(max(update, -1.0), 1.0)


class RAdam(Elements):
    """RAdam, as torch has it."""

    NAMES = ("radam",)
    STATES = ("exp_avg", "exp_avg_sq")
    OPTIONS = {"lr": 0.02, "betas": [0.9, 0.999], "eps": 1e-3, "weight_decay": 0.0, "decoupled": False, "maximize": False}
    TRACES = {
        "radam": {"rule": "radam"},
        "radam-decoupled-maximize": {"rule": "radam", "decoupled": True, "weight_decay": 0.1, "maximize": True},
    }

    def element(self, t, x, g, s):
        o = self.options
        beta2 = o["betas"][1]
        m, _ = self.moments(t, g, s)
        infinite = 2 / (1 - beta2) - 1
        rho = infinite - 2 * t * beta2**t / (1 - beta2**t)
        if rho <= 5:
            return x - o["lr"] * m
        r = math.sqrt((rho - 4) * (rho - 2) * infinite / ((infinite - 4) * (infinite - 2) * rho))
        return x - o["lr"] * r * math.sqrt(1 - beta2**t) * m / (math.sqrt(s["exp_avg_sq"]) + o["eps"])


class NAdam(Elements):
    """NAdam, as torch has it since 2.0."""

    NAMES = ("nadam",)
    STATES = ("exp_avg", "exp_avg_sq")
    OPTIONS = {
        "lr": 0.02, "betas": [0.9, 0.99], "eps": 1e-3, "momentum_decay": 0.5, "weight_decay": 0.0, "decoupled": False,
        "maximize": False,
    }
    TRACES = {
        "nadam": {"rule": "nadam"},
        "nadam-l2-maximize": {"rule": "nadam", "weight_decay": 0.1, "maximize": True, "momentum_decay": 4e-3},
    }

    def mu(self, t):
        return self.options["betas"][0] * (1 - 0.5 * 0.96 ** (t * self.options["momentum_decay"]))

    def element(self, t, x, g, s):
        o = self.options
        _, v = self.moments(t, g, s)
        product = math.prod(self.mu(k) for k in range(1, t + 1))
        after = self.mu(t + 1)
        update = (1 - self.mu(t)) / (1 - product) * g + after / (1 - product * after) * s["exp_avg"]
        return x - o["lr"] * update / (math.sqrt(v) + o["eps"])


class Adamax(Elements):
    """Adamax, as torch has it: eps is within the maximum."""

    NAMES = ("adamax",)
    STATES = ("exp_avg", "exp_inf")
    OPTIONS = {"lr": 0.02, "betas": [0.9, 0.99], "eps": 1e-3, "weight_decay": 0.0, "maximize": False}
    TRACES = {"adamax": {"rule": "adamax"}, "adamax-l2": {"rule": "adamax", "weight_decay": 0.1, "betas": [0.8, 0.7]}}

    def element(self, t, x, g, s):
        o = self.options
        beta1, beta2 = o["betas"]
        s["exp_avg"] = beta1 * s["exp_avg"] + (1 - beta1) * g
        s["exp_inf"] = max(beta2 * s["exp_inf"], abs(g) + o["eps"])
        return x - o["lr"] / (1 - beta1**t) * s["exp_avg"] / s["exp_inf"]


class Adagrad(Elements):
    """Adagrad, as torch has it."""

    NAMES = ("adagrad",)
    STATES = ("sum",)
    OPTIONS = {
        "lr": 0.1, "lr_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-3, "weight_decay": 0.0, "maximize": False,
    }
    TRACES = {
        "adagrad": {"rule": "adagrad"},
        "adagrad-decay": {
            "rule": "adagrad", "lr_decay": 0.2, "initial_accumulator_value": 0.5, "weight_decay": 0.1, "maximize": True},
    }

    def __init__(self, options, size):
        super().__init__(options, size)
        self.states["sum"] = [options["initial_accumulator_value"]] * size

    def element(self, t, x, g, s):
        o = self.options
        s["sum"] += g * g
        return x - o["lr"] / (1 + (t - 1) * o["lr_decay"]) * g / (math.sqrt(s["sum"]) + o["eps"])


class Adadelta(Elements):
    """Adadelta, as torch has it: eps is under both roots."""

    NAMES = ("adadelta",)
    STATES = ("square_avg", "acc_delta")
    OPTIONS = {"lr": 1.0, "rho": 0.9, "eps": 1e-3, "weight_decay": 0.0, "maximize": False}
    TRACES = {"adadelta": {"rule": "adadelta"}, "adadelta-l2": {"rule": "adadelta", "weight_decay": 0.1, "maximize": True}}

    def element(self, t, x, g, s):
        o = self.options
        s["square_avg"] = o["rho"] * s["square_avg"] + (1 - o["rho"]) * g * g
        delta = math.sqrt(s["acc_delta"] + o["eps"]) / math.sqrt(s["square_avg"] + o["eps"]) * g
        s["acc_delta"] = o["rho"] * s["acc_delta"] + (1 - o["rho"]) * delta * delta
        return x - o["lr"] * delta


class RmsProp(Elements):
    """RMSprop, as torch has it."""

    NAMES = ("rmsprop",)
    OPTIONS = {
        "lr": 0.01, "alpha": 0.9, "eps": 1e-2, "momentum": 0.0, "centered": False, "weight_decay": 0.0, "maximize": False,
    }
    TRACES = {
        "rmsprop": {"rule": "rmsprop", "weight_decay": 0.1},
        "rmsprop-centered-momentum": {"rule": "rmsprop", "centered": True, "momentum": 0.8, "maximize": True},
    }

    def state_names(self):
        o = self.options
        return ["square_avg"] + ["momentum_buffer"] * (o["momentum"] > 0) + ["grad_avg"] * o["centered"]

    def element(self, t, x, g, s):
        o = self.options
        w = s["square_avg"] = o["alpha"] * s["square_avg"] + (1 - o["alpha"]) * g * g
        if o["centered"]:
            s["grad_avg"] = o["alpha"] * s["grad_avg"] + (1 - o["alpha"]) * g
            w -= s["grad_avg"] ** 2
        update = g / (math.sqrt(w) + o["eps"])
        if o["momentum"] > 0:
            update = s["momentum_buffer"] = o["momentum"] * s["momentum_buffer"] + update
        return x - o["lr"] * update


class Rprop(Elements):
    """Rprop, as torch has it."""

    NAMES = ("rprop",)
    STATES = ("prev", "step_size")
    OPTIONS = {
        "lr": 0.02, "weight_decay": 0.0, "etaminus": 0.5, "etaplus": 1.2, "step_size_min": 1e-6, "step_size_max": 50.0,
        "maximize": False,
    }
    TRACES = {
        "rprop": {"rule": "rprop"},
        "rprop-limits": {"rule": "rprop", "step_size_min": 0.015, "step_size_max": 0.025, "maximize": True},
    }

    def __init__(self, options, size):
        super().__init__(options, size)
        self.states["step_size"] = [options["lr"]] * size

    def element(self, t, x, g, s):
        o = self.options
        change = sign(g) * sign(s["prev"])
        factor = {1: o["etaplus"], -1: o["etaminus"], 0: 1.0}[change]
        s["step_size"] = min(max(s["step_size"] * factor, o["step_size_min"]), o["step_size_max"])
        s["prev"] = 0.0 if change < 0 else g
        return x - sign(s["prev"]) * s["step_size"]


class Asgd(Elements):
    """Averaged SGD, as torch has it."""

    NAMES = ("asgd",)
    STATES = ("ax",)
    OPTIONS = {"lr": 0.1, "lambd": 0.1, "alpha": 0.75, "t0": 4.0, "weight_decay": 0.0, "maximize": False}
    TRACES = {"asgd": {"rule": "asgd"}, "asgd-l2": {"rule": "asgd", "weight_decay": 0.1, "maximize": True, "t0": 1e6}}

    def element(self, t, x, g, s):
        o = self.options
        eta = o["lr"] / (1 + o["lambd"] * o["lr"] * (t - 1)) ** o["alpha"]
        mu = 1 / max(1, t - 1 - o["t0"])
        x = x * (1 - o["lambd"] * eta) - eta * g
        s["ax"] = x if mu == 1 else s["ax"] + mu * (x - s["ax"])
        return x


class Lion(Elements):
    """Lion (arXiv 2302.06675)."""

    NAMES = ("lion",)
    STATES = ("exp_avg",)
    OPTIONS = {"lr": 0.01, "betas": [0.9, 0.99], "weight_decay": 0.0, "decoupled": True}
    TRACES = {"lion": {"rule": "lion"}, "lion-decay": {"rule": "lion", "weight_decay": 0.5, "betas": [0.5, 0.8]}}

    def element(self, t, x, g, s):
        beta1, beta2 = self.options["betas"]
        m = s["exp_avg"]
        s["exp_avg"] = beta2 * m + (1 - beta2) * g
        return x - self.options["lr"] * sign(beta1 * m + (1 - beta1) * g)


class MiAdam(Elements):
    """MIAdam (arXiv 2412.12473), as the authors' code has it."""

    NAMES = ("miadam",)
    OPTIONS = {
        "lr": 0.3, "betas": [0.9, 0.99], "eps": 1e-2, "kappa": 0.9, "order": 1, "switch_step": 6, "weight_decay": 0.0,
        "maximize": False,
    }
    TRACES = {
        "miadam-1": {"rule": "miadam", "weight_decay": 0.1},
        "miadam-2": {"rule": "miadam", "order": 2, "maximize": True},
        "miadam-3": {"rule": "miadam", "order": 3, "switch_step": 20},
    }

    def state_names(self):
        return ["exp_avg", "exp_avg_sq", "buf_exp_avg", "buf_exp_avg2", "buf_exp_avg3"][: 2 + self.options["order"]]

    def element(self, t, x, g, s):
        o = self.options
        _, v = self.moments(t, g, s)
        direction, lr = s["exp_avg"], o["lr"] / (1 - o["betas"][0] ** t)
        if t <= o["switch_step"]:
            for name in self.state_names()[2:]:
                direction = s[name] = o["kappa"] * s[name] + direction
                lr *= o["lr"]
        return x - lr * direction / (math.sqrt(v) + o["eps"])


class AdEmaMix(Elements):
    """AdEMAMix (arXiv 2409.03137, algorithm 1)."""

    NAMES = ("ademamix",)
    STATES = ("exp_avg_fast", "exp_avg_slow", "exp_avg_sq")
    OPTIONS = {
        "lr": 0.01, "betas": [0.9, 0.99, 0.995], "alpha": 5.0, "t_alpha_beta3": 0, "eps": 1e-2, "weight_decay": 0.0,
        "decoupled": True,
    }
    TRACES = {
        "ademamix": {"rule": "ademamix"},
        "ademamix-schedules": {"rule": "ademamix", "t_alpha_beta3": 7, "weight_decay": 0.5},
    }

    def element(self, t, x, g, s):
        o = self.options
        beta1, beta2, beta3 = o["betas"]
        alpha = o["alpha"]
        if t < o["t_alpha_beta3"]:
            part = t / o["t_alpha_beta3"]
            first, last = math.log(beta1), math.log(beta3)
            beta3 = min(beta3, math.exp(first * last / ((1 - part) * last + part * first)))
            alpha *= part
        s["exp_avg_fast"] = beta1 * s["exp_avg_fast"] + (1 - beta1) * g
        s["exp_avg_slow"] = beta3 * s["exp_avg_slow"] + (1 - beta3) * g
        s["exp_avg_sq"] = beta2 * s["exp_avg_sq"] + (1 - beta2) * g * g
        update = s["exp_avg_fast"] / (1 - beta1**t) + alpha * s["exp_avg_slow"]
        return x - o["lr"] * update / (math.sqrt(s["exp_avg_sq"] / (1 - beta2**t)) + o["eps"])


class Adopt(Elements):
    """ADOPT (arXiv 2411.02853), with clipping."""

    NAMES = ("adopt",)
    STATES = ("exp_avg", "exp_avg_sq")
    OPTIONS = {
        "lr": 0.01, "betas": [0.9, 0.99], "eps": 1e-2, "clip_exponent": 0.25, "weight_decay": 0.0, "decoupled": False,
        "maximize": False,
    }
    TRACES = {
        "adopt": {"rule": "adopt", "weight_decay": 0.1},
        "adopt-decoupled-maximize": {"rule": "adopt", "weight_decay": 0.5, "decoupled": True, "maximize": True},
    }

    def step(self, t, theta, gradient, inputs):
        if t > 1 or not self.options["decoupled"]:
            super().step(t, theta, gradient, inputs)
            return
        for i, g in enumerate(gradient):
            self.states["exp_avg_sq"][i] = g * g

    def element(self, t, x, g, s):
        o = self.options
        beta1, beta2 = o["betas"]
        if t == 1:
            s["exp_avg_sq"] = g * g
            return x
        clip = (t - 1) ** o["clip_exponent"]
        normalised = min(max(g / max(math.sqrt(s["exp_avg_sq"]), o["eps"]), -clip), clip)
        s["exp_avg"] = beta1 * s["exp_avg"] + (1 - beta1) * normalised
        s["exp_avg_sq"] = beta2 * s["exp_avg_sq"] + (1 - beta2) * g * g
        return x - o["lr"] * s["exp_avg"]


class Swats(Rule):
    """SWATS (arXiv 1712.07628, algorithm 1), each tensor by itself."""

    NAMES = ("swats",)
    OPTIONS = {"lr": 0.01, "betas": [0.9, 0.99], "eps": 0.005, "weight_decay": 0.0, "maximize": False}
    TRACES = {"swats": {"rule": "swats"}, "swats-l2-maximize": {"rule": "swats", "eps": 0.002, "weight_decay": 0.1, "maximize": True}}

    def __init__(self, options, size):
        super().__init__(options, size)
        self.states = {
            "exp_avg": [0.0] * size, "exp_avg_sq": [0.0] * size, "momentum_buffer": [0.0] * size, "lambda": 0.0, "sgd": 0,
            "sgd_lr": 0.0,
        }

    def step(self, t, theta, gradient, inputs):
        o, s = self.options, self.states
        beta1, beta2 = o["betas"]
        gradient = [(-g if o["maximize"] else g) + o["weight_decay"] * x for g, x in zip(gradient, theta)]
        if s["sgd"]:
            for i, g in enumerate(gradient):
                s["momentum_buffer"][i] = beta1 * s["momentum_buffer"][i] + g
                theta[i] -= (1 - beta1) * s["sgd_lr"] * s["momentum_buffer"][i]
            return
        of_step = with_gradient = 0.0
        for i, g in enumerate(gradient):
            s["exp_avg"][i] = beta1 * s["exp_avg"][i] + (1 - beta1) * g
            s["exp_avg_sq"][i] = beta2 * s["exp_avg_sq"][i] + (1 - beta2) * g * g
            size = o["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)
            p = -size * s["exp_avg"][i] / (math.sqrt(s["exp_avg_sq"][i]) + o["eps"])
            theta[i] += p
            of_step += p * p
            with_gradient += p * g
        if with_gradient == 0:
            return
        fitting = -of_step / with_gradient
        s["lambda"] = beta2 * s["lambda"] + (1 - beta2) * fitting
        average = s["lambda"] / (1 - beta2**t)
        if t > 1 and abs(average - fitting) < o["eps"]:
            s["sgd"], s["sgd_lr"] = 1, average
