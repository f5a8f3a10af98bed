// save FILE: saves a small model whose parameters are all 2. check FILE: tries the path. loop FILE VALUES: saves a model of
// VALUES² parameters, all 1, all 2 and so on, without end. A failure is printed, as its type and its text, and gives 1.
using MnistNative;

try
{
    switch (args)
    {
        case ["check", string path]:
            WritablePath.Check(path, "the file");
            break;
        case ["save", string path]:
            Save(path, 100, 2);
            break;
        case ["loop", string path, string size]:
            for (int value = 1; ; value++)
            {
                Save(path, int.Parse(size, System.Globalization.CultureInfo.InvariantCulture), value);
                Console.WriteLine(value);
            }

        default:
            throw new ArgumentException("save FILE, check FILE or loop FILE VALUES");
    }

    return 0;
}
catch (Exception e)
{
    Console.WriteLine($"{e.GetType().Name}: {e.Message}");
    return 1;
}

static void Save(string path, int size, int value)
{
    using Model model = Sequential.Input(size).Linear(size, bias: false).Build();
    float[] values = new float[size * size];
    Array.Fill(values, value);
    model.SetParameter("0.weight", values);
    model.Save(path);
}
