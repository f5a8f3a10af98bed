using MnistNative.Bindgen;

namespace MnistNative.Tests;

public sealed class BindingsTests
{
    [Fact]
    public void CommittedBindingsAreWhatTheHeaderGives()
    {
        string? clang = Clang.Find();
        Assert.SkipWhen(clang is null, "clang was not found, which reads the header; on Debian and Ubuntu: apt-get install clang");

        string root = Bindings.FindRepositoryRoot(AppContext.BaseDirectory);
        string expected = Bindings.Generate(clang!, Path.Combine(root, Bindings.HeaderPath));
        string committed = File.ReadAllText(Path.Combine(root, Bindings.OutputPath)).ReplaceLineEndings("\n");
        Assert.True(expected == committed, $"{Bindings.OutputPath} differs from what the header gives; run: ./build.sh bindings");
    }
}
