using MnistNative.Bindgen;

namespace MnistNative.Tests;

public sealed class BindingsTests
{
    [Fact]
    public void CommittedBindingsAreWhatTheHeaderAndTheTableOfOpsGive()
    {
        string? clang = Clang.Find();
        Assert.SkipWhen(clang is null, "clang was not found, which reads the header; on Debian and Ubuntu: apt-get install clang");

        string root = Bindings.FindRepositoryRoot(AppContext.BaseDirectory);
        Assert.All(Bindings.Generate(clang!, root), file => Assert.True(
            file.Text == Bindings.ReadText(Path.Combine(root, file.Path)),
            $"{file.Path} differs from what the header and the table of ops give; run: ./build.sh bindings"));
    }
}
