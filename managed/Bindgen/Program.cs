using MnistNative.Bindgen;

// Writes the C# bindings from the C header, or with --check says whether the file is what would be written.
//   exit codes: 0 all is well, 1 the file differs (--check), 2 a wrong call or a header that cannot be read, 3 no clang

bool check = false;
string? header = null;
string? output = null;
for (int i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--check":
            check = true;
            break;
        case "--header" when i + 1 < args.Length:
            header = args[++i];
            break;
        case "--output" when i + 1 < args.Length:
            output = args[++i];
            break;
        default:
            Console.Error.WriteLine("usage: Bindgen [--check] [--header FILE] [--output FILE]");
            return 2;
    }
}

if (Clang.Find() is not string clang)
{
    Console.Error.WriteLine("clang was not found; on Debian and Ubuntu: apt-get install clang");
    return 3;
}

try
{
    string root = header is null || output is null ? Bindings.FindRepositoryRoot(Environment.CurrentDirectory) : "";
    header ??= Path.Combine(root, Bindings.HeaderPath);
    output ??= Path.Combine(root, Bindings.OutputPath);

    string text = Bindings.Generate(clang, header);
    if (File.Exists(output) && File.ReadAllText(output).ReplaceLineEndings("\n") == text)
    {
        return 0;
    }
    if (check)
    {
        Console.Error.WriteLine($"{output} is not what {header} gives; run: ./build.sh bindings");
        return 1;
    }
    File.WriteAllText(output, text);
    Console.WriteLine($"wrote {output}");
    return 0;
}
catch (Exception error) when (error is InvalidOperationException or NotSupportedException or IOException)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}
