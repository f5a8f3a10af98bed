using System.Text;
using System.Text.RegularExpressions;

namespace MnistNative.Bindgen;

/// <summary>Turns the header's comments into XML documentation.</summary>
public sealed partial class DocumentationWriter
{
    private const int Width = 120;

    private readonly Dictionary<string, string> _references = [];

    /// <summary>Knows what the comments may refer to.</summary>
    public DocumentationWriter(Header header)
    {
        foreach (ConstantDeclaration declaration in header.Constants)
        {
            _references[declaration.Name] = "NativeConstants." + Names.Member(declaration.Name);
        }
        foreach (FunctionDeclaration declaration in header.Functions)
        {
            _references[declaration.Name] = "NativeMethods." + Names.Member(declaration.Name);
        }
        foreach (StructDeclaration declaration in header.Structs)
        {
            _references[declaration.Name] = Names.Type(declaration.Name);
            foreach (Variable field in declaration.Fields)
            {
                _references[$"{declaration.Name}::{field.Name}"] = $"{Names.Type(declaration.Name)}.{Names.Field(field.Name)}";
            }
        }
        foreach (EnumDeclaration declaration in header.Enums)
        {
            string type = Names.Enum(declaration.Name);
            _references[declaration.Name] = type;
            if (declaration.Name.EndsWith("_value", StringComparison.Ordinal))
            {
                _references[declaration.Name[..^"_value".Length]] = type;
            }
            foreach ((EnumMember member, string name) in declaration.Members.Zip(Names.EnumMembers(declaration)))
            {
                _references[member.Name] = $"{type}.{name}";
            }
        }
    }

    /// <summary>Appends the documentation of one declaration.</summary>
    /// <param name="output">Receives whole lines.</param>
    /// <param name="indent">Before each line.</param>
    /// <param name="comment">What the header says.</param>
    /// <param name="parameters">The parameters of a function, in order.</param>
    public void Write(StringBuilder output, string indent, Comment comment, IReadOnlyList<Variable>? parameters = null)
    {
        parameters ??= [];
        WriteElement(output, indent, "summary", "", comment.Summary, parameters);
        foreach (Variable parameter in parameters)
        {
            if (comment.Parameters.TryGetValue(parameter.Name, out string? text))
            {
                string name = Names.Parameter(parameter.Name).TrimStart('@');
                WriteElement(output, indent, "param", $" name=\"{name}\"", [text], parameters);
            }
        }
        WriteElement(output, indent, "returns", "", comment.Returns is null ? [] : [comment.Returns], parameters);
        WriteElement(output, indent, "remarks", "", comment.Remarks, parameters);
    }

    private void WriteElement(
        StringBuilder output, string indent, string element, string attributes, IReadOnlyList<string> paragraphs, IReadOnlyList<Variable> parameters)
    {
        string[] translated = [.. paragraphs.Select(paragraph => Translate(paragraph, parameters)).Where(text => text.Length > 0)];
        if (translated.Length == 0)
        {
            return;
        }
        string oneLine = $"{indent}/// <{element}{attributes}>{translated[0]}</{element}>";
        if (translated.Length == 1 && oneLine.Length <= Width)
        {
            output.Append(oneLine).Append('\n');
            return;
        }
        output.Append($"{indent}/// <{element}{attributes}>\n");
        foreach (string text in translated)
        {
            Wrap(output, indent + "/// ", translated.Length == 1 ? text : $"<para>{text}</para>");
        }
        output.Append($"{indent}/// </{element}>\n");
    }

    private string Translate(string text, IReadOnlyList<Variable> parameters)
    {
        text = text.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;");
        text = ReferencePattern().Replace(text, match =>
        {
            string name = match.Value.TrimStart(':');
            return _references.TryGetValue(name, out string? target) ? $"<see cref=\"{target}\"/>" : $"<c>{name}</c>";
        });
        return CodePattern().Replace(text, match =>
        {
            string code = match.Groups["code"].Value;
            return parameters.Any(parameter => parameter.Name == code)
                ? $"<paramref name=\"{Names.Parameter(code).TrimStart('@')}\"/>"
                : $"<c>{code}</c>";
        });
    }

    private static void Wrap(StringBuilder output, string prefix, string text)
    {
        StringBuilder line = new(prefix);
        // A reference holds a space, at which it must not be broken.
        foreach (string word in WordPattern().Matches(text).Select(match => match.Value))
        {
            if (line.Length > prefix.Length && line.Length + 1 + word.Length > Width)
            {
                output.Append(line).Append('\n');
                line.Clear().Append(prefix);
            }
            if (line.Length > prefix.Length)
            {
                line.Append(' ');
            }
            line.Append(word);
        }
        output.Append(line).Append('\n');
    }

    [GeneratedRegex(@"::(mn|MN)_\w+(::\w+)?|\bmn_\w+::\w+")]
    private static partial Regex ReferencePattern();

    [GeneratedRegex(@"`(?<code>[^`]+)`")]
    private static partial Regex CodePattern();

    [GeneratedRegex(@"(<[^>]*>|[^\s<])+")]
    private static partial Regex WordPattern();
}
