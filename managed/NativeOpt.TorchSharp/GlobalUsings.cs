// NativeOpt has types of these names too.
global using TorchGroup = global::TorchSharp.Modules.ParamGroup;
global using TorchOptions = global::TorchSharp.Modules.OptimizerOptions;
global using ParameterState = global::TorchSharp.Modules.OptimizerState;
