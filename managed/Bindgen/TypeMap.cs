using System.Globalization;
using System.Text.RegularExpressions;

namespace MnistNative.Bindgen;

/// <summary>C types and the blittable C# types of the same layout.</summary>
public sealed partial class TypeMap
{
    private readonly Dictionary<string, string> _types = new()
    {
        ["void"] = "void",
        ["char"] = "byte",
        ["int8_t"] = "sbyte",
        ["uint8_t"] = "byte",
        ["int16_t"] = "short",
        ["uint16_t"] = "ushort",
        ["int32_t"] = "int",
        ["uint32_t"] = "uint",
        ["int64_t"] = "long",
        ["uint64_t"] = "ulong",
        ["size_t"] = "nuint",
        ["float"] = "float",
        ["double"] = "double",
    };

    /// <summary>Knows the header's own types too.</summary>
    public TypeMap(Header header)
    {
        foreach (StructDeclaration declaration in header.Structs)
        {
            _types[declaration.Name] = Names.Type(declaration.Name);
        }
        foreach (TypedefDeclaration declaration in header.Typedefs)
        {
            bool isEnum = header.Enums.Any(candidate => candidate.Name == declaration.Name + "_value");
            _types[declaration.Name] = isEnum ? Names.Type(declaration.Name) : Map(declaration.Type, declaration.Name);
        }
    }

    /// <summary>The C# type of a C type.</summary>
    /// <param name="type">As clang spells it.</param>
    /// <param name="where">Named when the type is not supported.</param>
    public string Map(string type, string where)
    {
        Match function = FunctionPointerPattern().Match(type);
        if (function.Success)
        {
            IEnumerable<string> types = function.Groups["parameters"].Value
                .Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
                .Where(parameter => parameter != "void")
                .Append(function.Groups["result"].Value)
                .Select(parameter => Map(parameter, where));
            return $"delegate* unmanaged[Cdecl]<{string.Join(", ", types)}>";
        }

        string plain = ConstPattern().Replace(type, "").Replace(" ", "");
        string pointee = plain.TrimEnd('*');
        return _types.TryGetValue(pointee, out string? mapped)
            ? mapped + plain[pointee.Length..]
            : throw new NotSupportedException($"{where}: the type '{type}' is not supported; the ABI is made of fixed-width integers, float, double, size_t, pointers and its own structs.");
    }

    /// <summary>Splits an array type; false for other types.</summary>
    public static bool IsArray(string type, out string element, out int length)
    {
        Match match = ArrayPattern().Match(type);
        element = match.Groups["element"].Value;
        length = match.Success ? int.Parse(match.Groups["length"].Value, CultureInfo.InvariantCulture) : 0;
        return match.Success;
    }

    [GeneratedRegex(@"^(?<result>.*?)\s*\(\*\)\((?<parameters>.*)\)$")]
    private static partial Regex FunctionPointerPattern();

    [GeneratedRegex(@"\b(const|struct)\b")]
    private static partial Regex ConstPattern();

    [GeneratedRegex(@"^(?<element>.*?)\s*\[(?<length>\d+)\]$")]
    private static partial Regex ArrayPattern();
}
