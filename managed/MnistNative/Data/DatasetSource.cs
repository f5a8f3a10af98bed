namespace MnistNative;

/// <summary>Where a data set of four IDX files comes from and how its files are recognised.</summary>
internal sealed record DatasetSource
{
    public static readonly DatasetSource Mnist = new()
    {
        Name = "MNIST",
        FolderName = "mnist",
        Files =
        [
            new("train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            new("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            new("t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            new("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ],
        Mirrors =
        [
            new("https://ossci-datasets.s3.amazonaws.com/mnist/"),
            new("https://storage.googleapis.com/cvdf-datasets/mnist/"),
        ],
        SystemFolders = [],
    };

    public static readonly DatasetSource FashionMnist = new()
    {
        Name = "Fashion-MNIST",
        FolderName = "fashion-mnist",
        Files =
        [
            new("train-images-idx3-ubyte", 47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            new("train-labels-idx1-ubyte", 60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            new("t10k-images-idx3-ubyte", 7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            new("t10k-labels-idx1-ubyte", 10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ],

        // The first has no https; the content is checked by its sum all the same.
        Mirrors =
        [
            new("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
            new("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"),
        ],
        SystemFolders = ["/usr/share/datasets/fashion-mnist"],
    };

    /// <summary>The name in messages.</summary>
    public required string Name { get; init; }

    /// <summary>The name of the data set's folder in the cache and under the user's data folder.</summary>
    public required string FolderName { get; init; }

    /// <summary>Training images, training labels, test images, test labels.</summary>
    public required IReadOnlyList<DatasetFile> Files { get; init; }

    /// <summary>Folders on the web, tried in order; each address ends in a slash.</summary>
    public required IReadOnlyList<Uri> Mirrors { get; init; }

    /// <summary>Folders in which packages of the operating system put the files.</summary>
    public required IReadOnlyList<string> SystemFolders { get; init; }

    /// <summary>The data sets that share these file names.</summary>
    public static IReadOnlyList<DatasetSource> Known => [Mnist, FashionMnist];
}

/// <summary>One file of a data set.</summary>
/// <param name="Name">The usual name, without <c>.gz</c>.</param>
/// <param name="Length">Size of the uncompressed content.</param>
/// <param name="Sha256">SHA-256 of the uncompressed content, lower-case hexadecimal.</param>
internal sealed record DatasetFile(string Name, long Length, string Sha256)
{
    /// <summary>The names under which the file is looked for.</summary>
    public IEnumerable<string> LocalNames
    {
        get
        {
            string dotted = Name.Replace("-idx", ".idx", StringComparison.Ordinal);
            return [Name, Name + ".gz", dotted, dotted + ".gz"];
        }
    }

    /// <summary>The name under which the file is downloaded and cached.</summary>
    public string ArchiveName => Name + ".gz";

    /// <summary>The path of the file in a folder, or null when it is not there.</summary>
    public string? Find(string folder) =>
        LocalNames.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
}
