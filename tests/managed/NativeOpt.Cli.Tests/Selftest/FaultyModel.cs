using NativeOpt.Cli.Selftest;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Tests.Selftest;

/// <summary>A model in which something goes wrong after its second step.</summary>
internal sealed class FaultyModel(SelftestSetting setting, SelftestCase one, SelftestBuffers buffers, Fault fault)
    : SelftestModel(setting, one, buffers)
{
    public const int FaultyStep = 2;
    public const string TensorStepCount = "step count of tensor";

    private int _steps;

    public override IReadOnlyList<(string Name, double Value)> StepState =>
    [
        .. base.StepState.Select(scalar =>
            (scalar.Name, scalar.Name == fault.Block && IsFaulty ? scalar.Value + fault.Element : scalar.Value)),
    ];

    public override nopt_step_state[] TensorStates
    {
        get
        {
            nopt_step_state[] states = base.TensorStates;
            if (IsFaulty && fault.Tensor < states.Length)
            {
                states[fault.Tensor].step += fault.Block == TensorStepCount ? fault.Element : 0;
                states[fault.Tensor].running[1] += fault.Block == "beta2_product of tensor" ? fault.Element : 0;
            }

            return states;
        }
    }

    private bool IsFaulty => _steps == FaultyStep;

    public override nopt_dimer_status StatusOf(int scope)
    {
        nopt_dimer_status status = base.StatusOf(scope);
        if (fault.Block == "status.angle" && IsFaulty && scope == fault.Tensor)
        {
            status.angle = Math.BitIncrement(status.angle);
        }

        return status;
    }

    public override void Step(nopt_hyperparams hyperparameters, nopt_dimer_options? options)
    {
        base.Step(hyperparameters, options);
        _steps++;
        if (IsFaulty && fault.Block == "device")
        {
            throw new SelftestFault("the device is on fire.");
        }

        if (IsFaulty && Blocks.SingleOrDefault(block => block.Name == fault.Block) is { } hit
            && fault.Tensor < hit.Layout.TensorCount)
        {
            // The last bit of one element; all machines that .NET runs on have it in the first byte.
            byte[] image = hit.Read().ToArray();
            image[hit.Layout.ByteOf(fault.Tensor, fault.Element)] ^= 1;
            hit.Write(image);
        }
    }

    /// <summary>Makes models of which those in one of a plan's settings have the fault.</summary>
    public static SelftestModelFactory In(SelftestPlan plan, int setting, Fault fault) =>
        (where, one, buffers) => where == plan.Settings[setting]
            ? new FaultyModel(where, one, buffers, fault)
            : new SelftestModel(where, one, buffers);
}

/// <summary>What goes wrong.</summary>
/// <param name="Block">The role or scalar, of a tensor if it says so; "device" for a fault of the device.</param>
/// <param name="Tensor">The tensor, or a status's scope.</param>
/// <param name="Element">
/// The element, or a canary as an index from the tensor's begin; of Dynamic8 the byte; how much is added to a scalar.
/// </param>
internal sealed record Fault(string Block, int Tensor = 0, int Element = 1);
