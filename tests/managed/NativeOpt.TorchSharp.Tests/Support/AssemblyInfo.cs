using Xunit;

// Torch's generator of random numbers is one for the process.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
