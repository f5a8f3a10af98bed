using MnistNative.Bindgen;

// Writes what follows from the C header and the table of ops, or with --check says whether the files are what would be
// written.
//   exit codes: 0 all is well, 1 a file differs (--check), 2 a wrong call or a file that cannot be read, 3 no clang

bool check = args is ["--check"];
if (args.Length > 0 && !check)
{
    Console.Error.WriteLine("usage: Bindgen [--check]");
    return 2;
}

if (Clang.Find() is not string clang)
{
    Console.Error.WriteLine("clang was not found; on Debian and Ubuntu: apt-get install clang");
    return 3;
}

try
{
    string root = Bindings.FindRepositoryRoot(Environment.CurrentDirectory);
    int exitCode = 0;
    foreach ((string path, string text) in Bindings.Generate(clang, root))
    {
        string file = Path.Combine(root, path);
        if (File.Exists(file) && Bindings.ReadText(file) == text)
        {
            continue;
        }
        if (check)
        {
            Console.Error.WriteLine($"{path} is not what the header and the table of ops give; run: ./build.sh bindings");
            exitCode = 1;
            continue;
        }
        File.WriteAllText(file, text);
        Console.WriteLine($"wrote {path}");
    }
    return exitCode;
}
catch (Exception error) when (error is InvalidOperationException or NotSupportedException or IOException)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}
