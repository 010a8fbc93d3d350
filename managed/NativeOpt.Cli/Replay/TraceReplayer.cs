namespace NativeOpt.Cli.Replay;

/// <summary>Runs the optimizer of a trace over its steps, through the API that everybody uses.</summary>
internal static class TraceReplayer
{
    /// <summary>Replays a trace and compares the parameters after every step with the expected ones.</summary>
    /// <exception cref="UnsupportedTraceException">It needs what NativeOpt does not do.</exception>
    /// <exception cref="TraceFormatException">An option is out of range.</exception>
    public static WorstRatio Replay(Trace trace, Device device)
    {
        if (trace.Dimer is not null)
        {
            throw new UnsupportedTraceException("the dimer is not implemented");
        }

        TraceOptimizerFactory.RequireSupported(trace.Optimizer);
        using var tensors = new TensorBuffers(trace.Tensors, device);
        using Optimizer optimizer = TraceOptimizerFactory.Create(trace.Optimizer, tensors.Set);
        var worst = new WorstRatio();
        for (int step = 0; step < trace.Steps.Count; step++)
        {
            TraceStep expected = trace.Steps[step];
            tensors.WriteGradients(expected.Gradients ?? Gradients(trace.Problem!, tensors.Parameters));
            optimizer.Step();
            tensors.ReadParameters();
            for (int i = 0; i < tensors.Parameters.Length; i++)
            {
                worst.Compare(
                    step + 1, $"tensor {i}", tensors.Parameters[i], expected.Parameters[i], trace.Tolerance);
            }
        }

        return worst;
    }

    /// <summary>The gradient Hx of a quadratic, computed in double at the parameters as they are.</summary>
    private static float[][] Gradients(TraceProblem problem, float[][] parameters)
    {
        float[] x = [.. parameters.SelectMany(static tensor => tensor)];
        int row = 0;
        return [.. parameters.Select(tensor => tensor.Select(_ => Row(row++)).ToArray())];

        float Row(int i)
        {
            double sum = 0;
            for (int j = 0; j < x.Length; j++)
            {
                sum += problem.Hessian[(i * x.Length) + j] * x[j];
            }

            return (float)sum;
        }
    }

    /// <summary>The tensors of a trace on a device, and the parameters on the host, too.</summary>
    private sealed class TensorBuffers : IDisposable
    {
        private readonly DeviceBuffer<float>[] _parameters;
        private readonly DeviceBuffer<float>[] _gradients;

        public TensorBuffers(IReadOnlyList<TraceTensor> tensors, Device device)
        {
            Parameters = [.. tensors.Select(static tensor => tensor.Parameter.ToArray())];
            _parameters = Allocate();
            _gradients = Allocate();
            for (int i = 0; i < Parameters.Length; i++)
            {
                _parameters[i].CopyFrom(Parameters[i]);
            }

            Set = ParameterSet.FromBuffers(_parameters, _gradients);

            DeviceBuffer<float>[] Allocate() =>
                [.. Parameters.Select(tensor => new DeviceBuffer<float>(device, tensor.Length))];
        }

        public ParameterSet Set { get; }

        /// <summary>The parameters as they were at the last <see cref="ReadParameters"/>.</summary>
        public float[][] Parameters { get; }

        public void WriteGradients(IReadOnlyList<float[]> gradients)
        {
            for (int i = 0; i < _gradients.Length; i++)
            {
                _gradients[i].CopyFrom(gradients[i]);
            }
        }

        public void ReadParameters()
        {
            for (int i = 0; i < _parameters.Length; i++)
            {
                _parameters[i].CopyTo(Parameters[i]);
            }
        }

        public void Dispose()
        {
            Set.Dispose();
            foreach (DeviceBuffer<float> buffer in _parameters.Concat(_gradients))
            {
                buffer.Dispose();
            }
        }
    }
}
