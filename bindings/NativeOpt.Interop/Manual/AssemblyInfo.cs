using System.Runtime.CompilerServices;

// Every signature is blittable; this makes the compiler hold them to it.
[assembly: DisableRuntimeMarshalling]
