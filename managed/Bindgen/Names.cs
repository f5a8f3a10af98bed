using System.Globalization;

namespace MnistNative.Bindgen;

/// <summary>C names and the C# names they become.</summary>
/// <remarks>
/// <c>mn_conv2d_desc</c> becomes <c>MnConv2dDesc</c>, <c>mn_graph_conv2d</c> <c>NativeMethods.GraphConv2d</c>, the
/// field <c>pad_top</c> <c>PadTop</c>, the parameter <c>model_out</c> <c>modelOut</c>; of an enum's members, what they
/// share with its name is left out: <c>MN_DEVICE_CPU</c> of <c>mn_device_kind</c> becomes <c>MnDeviceKind.Cpu</c>.
/// </remarks>
public static class Names
{
    private static readonly HashSet<string> s_keywords =
    [
        "base", "bool", "byte", "checked", "class", "const", "default", "event", "fixed", "in", "int", "is", "lock",
        "long", "new", "null", "object", "out", "params", "ref", "short", "string", "this", "using",
    ];

    /// <summary>Name of a type.</summary>
    public static string Type(string name) => Pascal(name);

    /// <summary>Name of an enum: <c>mn_status_value</c> holds the values of the typedef <c>mn_status</c>.</summary>
    public static string Enum(string name) => Pascal(name.EndsWith("_value", StringComparison.Ordinal) ? name[..^"_value".Length] : name);

    /// <summary>Name of a function or a constant.</summary>
    public static string Member(string name) => Pascal(name[3..]);

    /// <summary>Name of a field.</summary>
    public static string Field(string name) => Pascal(name);

    /// <summary>Name of a parameter.</summary>
    public static string Parameter(string name)
    {
        string pascal = Pascal(name);
        string camel = char.ToLowerInvariant(pascal[0]) + pascal[1..];
        return s_keywords.Contains(camel) ? "@" + camel : camel;
    }

    /// <summary>Names of an enum's members.</summary>
    public static IReadOnlyList<string> EnumMembers(EnumDeclaration declaration)
    {
        string[] enumWords = declaration.Name.Split('_');
        string[][] members = [.. declaration.Members.Select(member => member.Name.ToLowerInvariant().Split('_'))];
        int shared = 0;
        while (members.All(words => shared < words.Length - 1
            && words[shared] == members[0][shared]
            && enumWords.Contains(words[shared])
            && !char.IsAsciiDigit(words[shared + 1][0])))
        {
            shared++;
        }
        return [.. members.Select(words => Pascal(string.Join('_', words[shared..])))];
    }

    /// <summary>A C# name as a C name: <c>OutChannels</c> becomes <c>out_channels</c>.</summary>
    public static string Snake(string name) => string.Concat(name.Select((character, i) =>
        (i > 0 && char.IsUpper(character) ? "_" : "") + char.ToLowerInvariant(character)));

    private static string Pascal(string name) => string.Concat(name
        .ToLowerInvariant()
        .Split('_', StringSplitOptions.RemoveEmptyEntries)
        .Select(word => char.ToUpper(word[0], CultureInfo.InvariantCulture) + word[1..]));
}
