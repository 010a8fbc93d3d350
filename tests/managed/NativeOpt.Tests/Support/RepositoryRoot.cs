namespace NativeOpt.Tests.Support;

internal static class RepositoryRoot
{
    /// <summary>The folder of NativeOpt.sln, found upward from the test assembly.</summary>
    public static string Path { get; } = Find();

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "NativeOpt.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"No NativeOpt.sln above {AppContext.BaseDirectory}.");
    }
}
