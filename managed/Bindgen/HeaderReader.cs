using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace MnistNative.Bindgen;

/// <summary>Takes the declarations that start with <c>mn_</c> from clang's syntax tree.</summary>
public static partial class HeaderReader
{
    /// <summary>Reads a header.</summary>
    /// <param name="clang">Path of clang.</param>
    /// <param name="path">Path of the header.</param>
    public static Header Read(string clang, string path)
    {
        List<EnumDeclaration> enums = [];
        List<StructDeclaration> structs = [];
        List<TypedefDeclaration> typedefs = [];
        List<FunctionDeclaration> functions = [];

        using JsonDocument tree = Clang.Parse(clang, path);
        foreach (JsonElement node in Children(tree.RootElement))
        {
            string name = Text(node, "name");
            if (!name.StartsWith("mn_", StringComparison.Ordinal))
            {
                continue;
            }
            Comment comment = ReadComment(node);
            switch (Text(node, "kind"))
            {
                case "EnumDecl":
                    enums.Add(new EnumDeclaration(name, ReadMembers(node), comment));
                    break;
                case "RecordDecl" when node.TryGetProperty("completeDefinition", out _):
                    if (Text(node, "tagUsed") != "struct")
                    {
                        throw new NotSupportedException($"{name}: only structs are supported.");
                    }
                    structs.Add(new StructDeclaration(name, ReadVariables(node, "FieldDecl"), comment));
                    break;
                case "TypedefDecl" when QualifiedType(node) is string type && !type.StartsWith("struct ", StringComparison.Ordinal):
                    typedefs.Add(new TypedefDeclaration(name, type, comment));
                    break;
                // What is defined in the header is not in the library.
                case "FunctionDecl" when Text(node, "storageClass") != "static":
                    string signature = QualifiedType(node);
                    string result = signature[..signature.IndexOf('(')].Trim();
                    functions.Add(new FunctionDeclaration(name, result, ReadVariables(node, "ParmVarDecl"), comment));
                    break;
            }
        }
        return new Header(ReadConstants(File.ReadAllText(path)), enums, structs, typedefs, functions);
    }

    /// <summary>Macros are gone from the syntax tree, so they are read from the text.</summary>
    private static List<ConstantDeclaration> ReadConstants(string text)
    {
        List<ConstantDeclaration> constants = [];
        foreach (Match match in MacroPattern().Matches(text))
        {
            string digits = match.Groups["value"].Value;
            long value = digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
                ? long.Parse(digits[2..], NumberStyles.HexNumber, CultureInfo.InvariantCulture)
                : long.Parse(digits, CultureInfo.InvariantCulture);
            IEnumerable<string> lines = match.Groups["comment"].Captures.Select(line => line.Value.Trim());
            constants.Add(new ConstantDeclaration(
                match.Groups["name"].Value, value, Comment.Empty with { Summary = [string.Join(' ', lines)] }));
        }
        return constants;
    }

    private static List<EnumMember> ReadMembers(JsonElement node)
    {
        List<EnumMember> members = [];
        long next = 0;
        foreach (JsonElement child in Children(node).Where(child => Text(child, "kind") == "EnumConstantDecl"))
        {
            JsonElement value = Children(child).FirstOrDefault(inner => Text(inner, "kind") == "ConstantExpr");
            if (value.ValueKind == JsonValueKind.Object)
            {
                next = long.Parse(Text(value, "value"), CultureInfo.InvariantCulture);
            }
            members.Add(new EnumMember(Text(child, "name"), next++, ReadComment(child)));
        }
        return members;
    }

    private static List<Variable> ReadVariables(JsonElement node, string kind) =>
    [
        .. Children(node)
            .Where(child => Text(child, "kind") == kind)
            .Select(child => new Variable(Text(child, "name"), QualifiedType(child), ReadComment(child))),
    ];

    private static Comment ReadComment(JsonElement node)
    {
        JsonElement full = Children(node).FirstOrDefault(child => Text(child, "kind") == "FullComment");
        if (full.ValueKind != JsonValueKind.Object)
        {
            return Comment.Empty;
        }

        List<string> summary = [];
        List<string> remarks = [];
        Dictionary<string, string> parameters = [];
        string? returns = null;
        foreach (JsonElement block in Children(full))
        {
            // A line that opens with "Errors:" starts a paragraph, also where clang counts it to the one before.
            List<string> paragraphs = [""];
            foreach (string line in Lines(block))
            {
                if (line.StartsWith("Errors:", StringComparison.Ordinal))
                {
                    paragraphs.Add("");
                }
                paragraphs[^1] = $"{paragraphs[^1]} {line}".Trim();
            }
            remarks.AddRange(paragraphs.Skip(1));
            if (paragraphs[0].Length == 0)
            {
                continue;
            }
            switch (Text(block, "kind"))
            {
                case "ParamCommandComment":
                    parameters[Text(block, "param")] = paragraphs[0];
                    break;
                case "BlockCommandComment" when Text(block, "name") is "return" or "returns":
                    returns = paragraphs[0];
                    break;
                default:
                    summary.Add(paragraphs[0]);
                    break;
            }
        }
        return new Comment(summary, parameters, returns, remarks);
    }

    private static IEnumerable<string> Lines(JsonElement node)
    {
        foreach (JsonElement child in Children(node))
        {
            string text = Text(child, "kind") == "InlineCommandComment"
                ? string.Join(' ', child.GetProperty("args").EnumerateArray().Select(argument => $"`{argument}`"))
                : Text(child, "text").Trim();
            if (text.Length > 0)
            {
                yield return text;
            }
            foreach (string line in Lines(child))
            {
                yield return line;
            }
        }
    }

    private static IEnumerable<JsonElement> Children(JsonElement node) =>
        node.TryGetProperty("inner", out JsonElement inner) ? inner.EnumerateArray().Where(child => child.ValueKind == JsonValueKind.Object) : [];

    private static string Text(JsonElement node, string property) =>
        node.TryGetProperty(property, out JsonElement value) ? value.GetString() ?? "" : "";

    private static string QualifiedType(JsonElement node) => node.GetProperty("type").GetProperty("qualType").GetString()!;

    [GeneratedRegex(@"(^///(?<comment>.*)\n)*^\#define (?<name>MN_\w+) +(?<value>-?\d+|0[xX][0-9a-fA-F]+)\s*$", RegexOptions.Multiline)]
    private static partial Regex MacroPattern();
}
