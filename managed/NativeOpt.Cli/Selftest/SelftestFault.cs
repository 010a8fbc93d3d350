namespace NativeOpt.Cli.Selftest;

/// <summary>The library or the device refused a call that it should have taken.</summary>
internal sealed class SelftestFault(string message) : Exception(message);
